/**
 * Says in a few words what a file of tensors is, by their names.
 *
 * @param names names of all its tensors
 * @param metadata texts and numbers beside them
 */
export function describe(
  names: Iterable<string>,
  metadata: Readonly<Record<string, unknown>>,
): string {
  const all = [...names];
  const some = (pattern: RegExp): boolean => all.some((name) => pattern.test(name));
  if (some(/^conditioner\.embedders\./)) return 'Stable Diffusion XL checkpoint, one file';
  if (some(/^model\.diffusion_model\.(joint|double)_blocks\./))
    return 'checkpoint of a diffusion transformer (SD3 or FLUX)';
  if (some(/^model\.diffusion_model\.input_blocks\./)) {
    const ema = some(/^model_ema\.diffusion_model/) ? ', with running averages (EMA)' : '';
    if (some(/^cond_stage_model\.model\./)) return `Stable Diffusion 2 checkpoint, one file${ema}`;
    if (some(/^cond_stage_model\.transformer\./))
      return `Stable Diffusion 1 checkpoint, one file${ema}`;
    return `U-Net in single-file layout${ema}`;
  }
  if (some(/^control_model\.|^controlnet_cond_embedding\./)) return 'ControlNet';
  if (some(/^(lora_|lycoris_)/))
    return some(/\.hada_|\.lokr_/) ? "LyCORIS weights, kohya's layout" : "LoRA, kohya's layout";
  if (some(/\.lora(_|\.)/)) return 'LoRA, layout of diffusers or PEFT';
  if (some(/^string_to_param\./)) return "Textual Inversion embedding, A1111's layout";
  if (some(/^emb_params$/)) return "Textual Inversion embedding, kohya's layout";
  if (some(/^clip_[lg]$/)) return 'Textual Inversion embedding for two text encoders';
  if (some(/^\d+\.[01]\.linear\.\d+\.weight$/)) return "hypernetwork, A1111's layout";
  if (some(/^first_stage_model\.|^(encoder|decoder)\.(down|up|mid)/)) return 'VAE';
  if (some(/^down_blocks\.\d+\.resnets\./)) return 'U-Net, layout of diffusers';
  if (some(/^text_model\.|^encoder\.layers\.\d+\.self_attn\./))
    return 'CLIP text encoder, layout of transformers';
  if (some(/^\d+\.pixel_values$|^\d+\.timesteps$/)) return 'recorded draws of a training run';
  if (all.length === 1 && /^<.*>$/.test(all[0]!))
    return 'Textual Inversion embedding, layout of diffusers';
  if ('optimizer_state_dict' in metadata || some(/^(optimizer_state_dict|state\.\d+)\./))
    return 'optimizer state';
  return 'tensors';
}
