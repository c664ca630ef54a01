import { clock, seconds } from './quantities.ts';

/** What a progress line shows. */
export interface ProgressState {
  /** One word: `training`. */
  readonly title: string;
  readonly done: number;
  readonly total: number;
  /** What one step is called. */
  readonly unit: string;
  /** As a person reads them: `loss 0.0123`. */
  readonly details: readonly string[];
  /** Seconds; unknown before the second step. */
  readonly perStep: number | undefined;
  /** Seconds until the end. */
  readonly left: number | undefined;
}

/** How a line is drawn on a terminal. */
export interface Drawing {
  readonly columns: number;
  /** Draw with block characters; `#` otherwise. */
  readonly blocks: boolean;
}

const WIDEST_BAR = 30;
const NARROWEST_BAR = 8;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/**
 * Text of a progress line. Given a drawing it has a bar and is at most `columns` wide: the last details give way first, then pace and time.
 */
export function progressText(state: ProgressState, drawing?: Drawing): string {
  const { title, total, done, unit, details, perStep, left } = state;
  const head = `${title}  ${String(done).padStart(String(total).length)}/${total}`;
  const tail = [
    ...(perStep === undefined ? [] : [`${seconds(perStep)}/${unit}`]),
    ...(left === undefined ? [] : [`${clock(left)} left`]),
  ];
  if (!drawing) return [head, ...details, ...tail].join('  ');

  const { columns, blocks } = drawing;
  const shown = [...details];
  const room = (): number => columns - [head, '', ...shown, ...tail].join('  ').length;
  while (room() < NARROWEST_BAR && shown.length > 0) shown.pop();
  while (room() < NARROWEST_BAR && tail.length > 0) tail.pop();
  const width = Math.min(room(), WIDEST_BAR);
  if (width < NARROWEST_BAR) return head.slice(0, columns);
  return [head, bar(done / Math.max(total, 1), width, blocks), ...shown, ...tail].join('  ');
}

/** A bar `width` characters wide. */
function bar(share: number, width: number, blocks: boolean): string {
  const inner = width - 2;
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * inner * 8);
  const whole = Math.floor(eighths / 8);
  if (!blocks) return `[${'#'.repeat(whole).padEnd(inner)}]`;
  return `▕${('█'.repeat(whole) + EIGHTHS[eighths % 8]!).padEnd(inner)}▏`;
}
