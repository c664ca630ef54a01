/** @file What both sides are told to do on a GPU: handed to the processes as JSON. */

export interface GpuTask {
  readonly model: 'sd15' | 'tiny';
  /** `full`: all weights of the U-Net, f32 with AdamW. `lora`: rank 4 on the projections of every attention. */
  readonly method: 'full' | 'lora';
  readonly batch: number;
  /** Side of the latents: 64 for 512 px. */
  readonly latents: number;
  /** Ours: `f32` or `f16`. Theirs: `f32` (IEEE), `tf32`, `bf16` or `f16` (autocast; f16 with a gradient scaler). */
  readonly precision: 'f32' | 'tf32' | 'bf16' | 'f16';
  readonly warmUp: number;
  readonly steps: number;
}

/** A line of a process's output. */
export interface GpuResult {
  readonly task: GpuTask;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
  /** From the start of loading to the end of the first step. */
  readonly firstStep: number;
  /** Of each timed step, from inputs in host memory to the loss known. */
  readonly seconds: readonly number[];
  readonly losses: readonly number[];
  /** Bytes on the device: planned by us, the peak that PyTorch's allocator reports. */
  readonly memory: number;
  readonly dispatches?: number;
}
