import { UserError } from '@sdft/tensor';
import type { Schedule } from './schedule.ts';

/** A number that holds until a step, not including it. */
interface Piece {
  readonly value: number;
  readonly until: number;
}

/**
 * A1111's text of numbers and steps: `5e-3:100, 1e-3:1000, 1e-5` is 5e-3 at steps 0 to 99, 1e-3 up to 999, 1e-5 from then on. A number without a step, or with step -1,
 * holds to the end. A piece that the one before has passed already lasts one step. Source: AUTOMATIC1111 `modules/textual_inversion/learn_schedule.py`.
 *
 * @param steps of the whole run; pieces end there at the latest
 * @returns with `end`: where the last piece ends and training with it
 * @throws UserError where any of the text is none of this
 */
export function piecewise(what: string, text: string, steps = Number.POSITIVE_INFINITY): Schedule {
  const read = piecesOf(text, steps);
  if (typeof read === 'string') throw new UserError(`${what} "${text}": ${read}`);
  const pieces = inForce(read);
  const last = pieces.at(-1)!;
  return {
    at: (step) => (pieces.find(({ until }) => step < until) ?? last).value,
    ...(Number.isFinite(last.until) && { end: last.until }),
  };
}

/** What is wrong with a text of numbers and steps, or undefined. A number alone is such a text. */
export function piecewiseProblem(text: string): string | undefined {
  const read = piecesOf(text, Number.POSITIVE_INFINITY);
  return typeof read === 'string' ? read : undefined;
}

/** The pieces, or what is wrong. */
function piecesOf(text: string, steps: number): Piece[] | string {
  const wrong = (why: string): string =>
    `${why}; write a number, or numbers with the step up to which each holds: "5e-3:100, 1e-3:1000, 1e-5"`;
  const written: Written[] = [];
  // Each is looked at, even where an earlier one holds to the end: A1111 would ignore what it cannot read there.
  for (const part of text.split(',').filter((one) => one.trim() !== '')) {
    const piece = pieceOf(part);
    if (typeof piece === 'string') return wrong(piece);
    written.push(piece);
  }
  const pieces: Piece[] = [];
  for (const { value, until } of written) {
    if (until === undefined) return [...pieces, { value, until: steps }];
    if (until <= 0) continue;
    pieces.push({ value, until: Math.min(until, steps) });
    if (until > steps) return pieces;
  }
  return pieces.length === 0 ? wrong('no number in it is ever used') : pieces;
}

/** A number with the step up to which it holds; without one it holds to the end. */
interface Written {
  readonly value: number;
  readonly until: number | undefined;
}

function pieceOf(part: string): Written | string {
  const [number = '', ...steps] = part.split(':').map((field) => field.trim());
  const value = Number(number);
  if (number === '' || !Number.isFinite(value) || value <= 0)
    return `"${number}" is no positive number`;
  const broken = steps.find((step) => step === '' || !Number.isInteger(Number(step)));
  if (broken !== undefined) return `"${broken}" is no step`;
  // A1111 reads three fields as a number without a step.
  const until = steps.length === 1 ? Number(steps[0]) : -1;
  return { value, until: until === -1 ? undefined : until };
}

/** Each step moves on by one piece at most, so that every piece is in force for a step at least. */
function inForce(pieces: readonly Piece[]): Piece[] {
  const result: Piece[] = [];
  let from = 0;
  for (const { value, until } of pieces) {
    from = result.length === 0 ? until : Math.max(until, from + 1);
    result.push({ value, until: from });
  }
  return result;
}
