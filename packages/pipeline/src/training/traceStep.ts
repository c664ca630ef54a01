import { clipTextLayers, unetLayers } from '@sdft/models';
import type { Graph } from '@sdft/tensor';
import type { Networks } from './base.ts';
import { type StepShape, trainGraph, type TrainSettings } from './trainGraph.ts';
import { attach, type Attached } from './trainables.ts';

/** Everything about a step that its graph depends on, where there is neither data nor a checkpoint: cached latents and, unless a part of the text side is trained, cached text states. */
export interface StepOutline {
  readonly batch: number;
  /** Side of the latents. */
  readonly latents: number;
  readonly tokens: number;
}

/**
 * The graph of a training step, for plans and measurements.
 *
 * @throws UserError where the adapters fit no layer, or the objective wants more than latents and text
 */
export function traceStep(
  networks: Networks,
  settings: TrainSettings,
  { batch, latents, tokens }: StepOutline,
): { readonly graph: Graph; readonly attached: Attached } {
  const attached = attach(settings.adapters, [
    ...unetLayers(networks.unet),
    ...clipTextLayers(networks.textEncoder),
  ]);
  const shape: StepShape = {
    ...{ batch, instances: batch, latents: [latents, latents], tokens },
    ...{ pictures: 'latents', text: attached.text ? 'ids' : 'context' },
  };
  const { graph } = trainGraph(networks, attached, settings, shape);
  return { graph, attached };
}
