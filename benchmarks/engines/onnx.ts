/** @file ONNX models of one result, as bytes (onnx.proto of ONNX 1.17; protobuf's encoding of messages). */

export interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  /** Integers and lists of them. */
  readonly integers?: Readonly<Record<string, number | readonly number[]>>;
  readonly floats?: Readonly<Record<string, number>>;
  readonly domain?: 'com.microsoft';
}
export interface Value {
  readonly name: string;
  readonly shape: readonly number[];
  /** A constant's numbers. */
  readonly data?: Float32Array | BigInt64Array;
}

const FLOAT = 1;
const INT64 = 7;

function varint(value: number): number[] {
  const bytes: number[] = [];
  // Negative numbers are 64 bits of two's complement.
  for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
    const low = Number(rest & 127n);
    if (rest < 128n) return [...bytes, low];
    bytes.push(low | 128);
  }
}
type Bytes = readonly Uint8Array[];
const integer = (field: number, value: number): Bytes => [
  Uint8Array.from([...varint(field << 3), ...varint(value)]),
];
const bytes = (field: number, parts: Bytes): Bytes => [
  Uint8Array.from([
    ...varint((field << 3) | 2),
    ...varint(parts.reduce((sum, part) => sum + part.byteLength, 0)),
  ]),
  ...parts,
];
const text = (field: number, value: string): Bytes =>
  bytes(field, [new TextEncoder().encode(value)]);
const float = (field: number, value: number): Bytes => [
  Uint8Array.from([...varint((field << 3) | 5), ...new Uint8Array(Float32Array.of(value).buffer)]),
];

const attribute = (name: string, parts: Bytes, type: number): Bytes =>
  bytes(5, [...text(1, name), ...parts, ...integer(20, type)]);
const node = ({ op, inputs, output, integers = {}, floats = {}, domain }: Node): Bytes =>
  bytes(1, [
    ...inputs.flatMap((name) => text(1, name)),
    ...text(2, output),
    ...text(4, op),
    ...Object.entries(integers).flatMap(([name, value]) =>
      typeof value === 'number'
        ? attribute(name, integer(3, value), 2)
        : attribute(
            name,
            value.flatMap((one) => integer(8, one)),
            7,
          ),
    ),
    ...Object.entries(floats).flatMap(([name, value]) => attribute(name, float(2, value), 1)),
    ...(domain ? text(7, domain) : []),
  ]);
const described = (field: number, { name, shape }: Value): Bytes => {
  const dimensions = bytes(
    2,
    shape.flatMap((size) => bytes(1, integer(1, size))),
  );
  return bytes(field, [
    ...text(1, name),
    ...bytes(2, bytes(1, [...integer(1, FLOAT), ...dimensions])),
  ]);
};
const constant = ({ name, shape, data }: Value): Bytes =>
  bytes(5, [
    ...shape.flatMap((size) => integer(1, size)),
    ...integer(2, data instanceof BigInt64Array ? INT64 : FLOAT),
    ...text(8, name),
    ...bytes(9, [new Uint8Array(data!.buffer, data!.byteOffset, data!.byteLength)]),
  ]);
const opset = (domain: string, version: number): Bytes =>
  bytes(8, [...text(1, domain), ...integer(2, version)]);

/** A model's file. Values with data are its constants, the others are given at each run. */
export function modelOf(
  nodes: readonly Node[],
  values: readonly Value[],
  result: Value,
): Uint8Array {
  const graph = [
    ...nodes.flatMap(node),
    ...text(2, 'case'),
    ...values.filter(({ data }) => data).flatMap(constant),
    ...values.filter(({ data }) => !data).flatMap((value) => described(11, value)),
    ...described(12, result),
  ];
  const parts = [
    ...integer(1, 10),
    ...bytes(7, graph),
    ...opset('', 21),
    ...opset('com.microsoft', 1),
  ];
  return Uint8Array.from(Buffer.concat(parts));
}
