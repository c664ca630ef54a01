/** What a run says in `summary.json` that it came to. */
export interface RunSummary {
  /** The base's name and hash. */
  readonly base: { readonly name: string; readonly hash: string } | undefined;
  readonly parameters: number | undefined;
  readonly steps: number | undefined;
  /** Wall time. */
  readonly seconds: number | undefined;
  /** Bytes. */
  readonly memory: number | undefined;
  /** What was learned; paths are seen from the run's folder. */
  readonly files: readonly string[];
}

/** Reads `summary.json`; what it lacks is undefined. Undefined where it is no such file. */
export function parseSummary(text: string): RunSummary | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { base, files } = value;
  const paths: readonly unknown[] = Array.isArray(files)
    ? files.map((file) => isRecord(file) && file['path'])
    : [];
  return {
    base:
      isRecord(base) && typeof base['name'] === 'string' && typeof base['hash'] === 'string'
        ? { name: base['name'], hash: base['hash'] }
        : undefined,
    parameters: amount(value['parameters']),
    steps: amount(value['steps']),
    seconds: amount(value['seconds']),
    memory: amount(value['peakMemory']),
    files: paths.filter((path): path is string => typeof path === 'string' && path !== ''),
  };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const amount = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
