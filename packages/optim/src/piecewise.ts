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
 * @throws UserError where the text is none of this
 */
export function piecewise(what: string, text: string, steps = Number.POSITIVE_INFINITY): Schedule {
  const pieces = inForce(parse(what, text, steps));
  const last = pieces.at(-1)!;
  return {
    at: (step) => (pieces.find(({ until }) => step < until) ?? last).value,
    ...(Number.isFinite(last.until) && { end: last.until }),
  };
}

function parse(what: string, text: string, steps: number): Piece[] {
  const refuse = (why: string): UserError =>
    new UserError(
      `${what} "${text}": ${why}; write a number, or numbers with the step up to which each holds: "5e-3:100, 1e-3:1000, 1e-5"`,
    );
  const pieces: Piece[] = [];
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const fields = part.split(':');
    const value = Number(fields[0]);
    if (fields[0]!.trim() === '' || !Number.isFinite(value) || value <= 0)
      throw refuse(`"${fields[0]!.trim()}" is no positive number`);
    // A1111 reads three fields as a number without a step.
    if (fields.length !== 2) return [...pieces, { value, until: steps }];
    const until = Number(fields[1]);
    if (fields[1]!.trim() === '' || !Number.isInteger(until))
      throw refuse(`"${fields[1]!.trim()}" is no step`);
    if (until === -1) return [...pieces, { value, until: steps }];
    if (until <= 0) continue;
    pieces.push({ value, until: Math.min(until, steps) });
    if (until > steps) return pieces;
  }
  if (pieces.length === 0) throw refuse('no number in it is ever used');
  return pieces;
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
