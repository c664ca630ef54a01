/** A point of a curve. */
export interface LossPoint {
  readonly step: number;
  readonly loss: number;
  /** Of the run so far; undefined where an older run did not note it. */
  readonly seconds: number | undefined;
}

/** The curves of a run. */
export interface Metrics {
  /** One point a step: the mean of its micro-steps. */
  readonly training: readonly LossPoint[];
  readonly validation: readonly LossPoint[];
  /** Lines that could not be read: of a run that was killed while it wrote, say. */
  readonly unreadable: number;
}

/** Reads `metrics.jsonl`. Of a step that stands there twice, as after a run was resumed by other means, the later one counts. */
export function parseMetrics(text: string): Metrics {
  const training = new Map<number, { losses: number[]; seconds: number | undefined }>();
  const validation = new Map<number, LossPoint>();
  let unreadable = 0;
  let last = Number.NaN;
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const { step, loss, validationLoss, seconds: time } = fieldsOf(line);
    const seconds = isNumber(time) && time >= 0 ? time : undefined;
    if (!isNumber(step) || (!isNumber(loss) && !isNumber(validationLoss))) unreadable++;
    else if (isNumber(validationLoss))
      validation.set(step, { step, loss: validationLoss, seconds });
    else if (isNumber(loss)) {
      const before = step === last ? training.get(step) : undefined;
      training.set(step, { losses: [...(before?.losses ?? []), loss], seconds });
      last = step;
    }
  }
  return {
    training: [...training]
      .map(([step, { losses, seconds }]) => ({
        step,
        loss: losses.reduce((sum, loss) => sum + loss, 0) / losses.length,
        seconds,
      }))
      .sort(byStep),
    validation: [...validation.values()].sort(byStep),
    unreadable,
  };
}

const byStep = (a: LossPoint, b: LossPoint): number => a.step - b.step;

const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value);

function fieldsOf(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
