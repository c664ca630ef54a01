/** @file Pictures as a generator might draw them: elsewhere, turned, larger or smaller, blurred, in other light, with noise. */
import type { Draws } from '@sdft/tensor';
import { SIDE } from '../data/pack.ts';

const PLANE = SIDE * SIDE;

/** Writes a variant of a picture, sRGB bytes [64,64,3], as planes [3,64,64] in -1..1 to `to`; `name` and `counter` choose it, and it is `scale` times as large. */
export function classifierVariant(
  picture: Uint8Array,
  to: Float32Array,
  own: Draws,
  name: string,
  counter: number,
  scale = 1,
): void {
  const u = own.uniform(name, counter, [16]).data;
  place(picture, to, {
    size: scale * (0.88 + 0.2 * u[0]!),
    turn: 0.1 * (u[1]! - 0.5),
    x: 8 * (u[2]! - 0.5),
    y: 8 * (u[3]! - 0.5),
    isMirrored: u[4]! < 0.5,
  });
  if (u[5]! < 0.35) blur(to, 0.5 * u[6]!);
  const light = 0.06 * (u[7]! - 0.5);
  const contrast = 0.94 + 0.09 * u[8]!;
  const noise = u[9]! < 0.3 ? 0.08 * u[10]! : 0;
  const grain = noise > 0 ? own.uniform(`${name} grain`, counter, [3 * PLANE]).data : undefined;
  for (let c = 0; c < 3; c++) {
    const [gain, shift] = [contrast * (0.975 + 0.05 * u[11 + c]!), light];
    for (let i = c * PLANE; i < (c + 1) * PLANE; i++) {
      // Paper stays paper: contrast is taken from white.
      const value = 1 + (to[i]! - 1) * gain + shift + (grain ? 2 * noise * (grain[i]! - 0.5) : 0);
      to[i] = Math.max(-1, Math.min(1, value));
    }
  }
}

interface Placing {
  readonly size: number;
  /** Radians. */
  readonly turn: number;
  /** Pixels. */
  readonly x: number;
  readonly y: number;
  readonly isMirrored: boolean;
}

/** The picture moved, turned and scaled, between pixels by linear interpolation, on white; its outermost pixels are left out. */
function place(picture: Uint8Array, to: Float32Array, { size, turn, x, y, isMirrored }: Placing) {
  const middle = (SIDE - 1) / 2;
  const [cos, sin] = [Math.cos(turn) / size, Math.sin(turn) / size];
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column < SIDE; column++) {
      const [dx, dy] = [column - middle - x, row - middle - y];
      const along = cos * dx + sin * dy;
      const sx = middle + (isMirrored ? -along : along);
      const sy = middle - sin * dx + cos * dy;
      const [left, top] = [Math.floor(sx), Math.floor(sy)];
      const isInside = left >= 0 && top >= 0 && left < SIDE - 1 && top < SIDE - 1;
      const [fx, fy] = [sx - left, sy - top];
      const at = 3 * (top * SIDE + left);
      const below = at + 3 * SIDE;
      for (let c = 0; c < 3; c++) {
        let value = 255;
        if (isInside) {
          const upper = picture[at + c]! + fx * (picture[at + c + 3]! - picture[at + c]!);
          const lower = picture[below + c]! + fx * (picture[below + c + 3]! - picture[below + c]!);
          value = upper + fy * (lower - upper);
        }
        to[c * PLANE + row * SIDE + column] = value / 127.5 - 1;
      }
    }
}

/** Each pixel mixed with its neighbours, along rows and then along columns, `share` of it. */
function blur(planes: Float32Array, share: number): void {
  for (const step of [1, SIDE]) {
    const before = Float32Array.from(planes);
    for (let i = step; i < planes.length - step; i++)
      planes[i] = (1 - share) * before[i]! + (share / 2) * (before[i - step]! + before[i + step]!);
  }
}
