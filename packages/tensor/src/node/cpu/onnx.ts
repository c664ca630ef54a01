/** @file ONNX models as protobuf messages: the parts of onnx.proto (ONNX 1.17, IR version 10) that the cpu backend writes. */
import protobuf from 'protobufjs';

const schema = `syntax = "proto3"; package onnx;
message ModelProto { int64 ir_version = 1; string producer_name = 2; GraphProto graph = 7; repeated OperatorSetIdProto opset_import = 8; }
message OperatorSetIdProto { string domain = 1; int64 version = 2; }
message StringStringEntryProto { string key = 1; string value = 2; }
message GraphProto { repeated NodeProto node = 1; string name = 2; repeated TensorProto initializer = 5; repeated ValueInfoProto input = 11; repeated ValueInfoProto output = 12; }
message NodeProto { repeated string input = 1; repeated string output = 2; string name = 3; string op_type = 4; repeated AttributeProto attribute = 5; string domain = 7; }
message AttributeProto { string name = 1; float f = 2; int64 i = 3; bytes s = 4; repeated float floats = 7; repeated int64 ints = 8; int32 type = 20; }
message ValueInfoProto { string name = 1; TypeProto type = 2; }
message TypeProto { message Tensor { int32 elem_type = 1; TensorShapeProto shape = 2; } Tensor tensor_type = 1; }
message TensorShapeProto { message Dimension { int64 dim_value = 1; } repeated Dimension dim = 1; }
message TensorProto { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; repeated StringStringEntryProto external_data = 13; int32 data_location = 14; }`;
const ModelProto = protobuf.parse(schema).root.lookupType('onnx.ModelProto');

/** TensorProto.DataType */
export const elementType = {
  f32: 1,
  u8: 2,
  i8: 3,
  i16: 5,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
  bf16: 16,
} as const;
export type ElementType = keyof typeof elementType;

export type AttributeValue = number | string | readonly number[] | { readonly float: number };
export interface OnnxNode {
  readonly opType: string;
  readonly domain: '' | 'com.microsoft';
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}
export interface OnnxValue {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}
/** A constant: its bytes, or where in a file beside the model they lie. */
export type OnnxInitializer = OnnxValue &
  (
    | { readonly bytes: Uint8Array }
    | {
        /** A copy made for an operator that may rearrange it once more. */
        readonly rearranged?: boolean;
        readonly external: {
          readonly location: string;
          readonly offset: number;
          readonly length: number;
        };
      }
  );
export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: readonly OnnxInitializer[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  /** Names of initializers that a caller could override: ONNX Runtime neither folds nor rearranges those, so that they stay mapped. */
  readonly plain: ReadonlySet<string>;
}

const attribute = (name: string, value: AttributeValue): object => {
  if (typeof value === 'number') return { name, i: value, type: 2 };
  if (typeof value === 'string') return { name, s: new TextEncoder().encode(value), type: 3 };
  if ('float' in value) return { name, f: value.float, type: 1 };
  return { name, ints: value, type: 7 };
};
const valueInfo = ({ name, type, shape }: OnnxValue): object => ({
  name,
  type: {
    tensorType: {
      elemType: elementType[type],
      shape: { dim: shape.map((dimValue) => ({ dimValue })) },
    },
  },
});
/** An input of any shape. */
const openValueInfo = ({ name, type }: OnnxValue): object => ({
  name,
  type: { tensorType: { elemType: elementType[type] } },
});
const EXTERNAL = 1;
const initializer = (value: OnnxInitializer): object => ({
  name: value.name,
  dims: value.shape,
  dataType: elementType[value.type],
  ...('bytes' in value
    ? { rawData: value.bytes }
    : {
        dataLocation: EXTERNAL,
        externalData: Object.entries(value.external).map(([key, v]) => ({ key, value: String(v) })),
      }),
});

/**
 * The model as bytes of a `.onnx` file.
 *
 * It says nothing of shapes: where ONNX Runtime can tell two tensors to be of one shape, it plans to hand the first one's memory on to the second, and holds it all the while in between,
 * from the first attention of a gradient to the last. So inputs have no shapes, and lists of integers, from which it would infer them, are what a caller could override. Nor have inputs a rank alone:
 * each tensor of a known rank is held against all that were let go of before, which takes seconds among thousands of nodes.
 */
export function encodeModel({
  nodes,
  initializers,
  inputs,
  outputs,
  plain,
}: OnnxModel): Uint8Array {
  const model = ModelProto.create({
    irVersion: 10,
    producerName: 'sdft',
    opsetImport: [
      { domain: '', version: 21 },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: {
      name: 'sdft',
      node: nodes.map(({ opType, domain, name, inputs: input, outputs: output, attributes }) => ({
        opType,
        domain,
        name,
        input,
        output,
        attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
      })),
      initializer: initializers.map(initializer),
      input: [
        ...inputs,
        ...initializers.filter(({ name, type }) => plain.has(name) || type === 'i64'),
      ].map(openValueInfo),
      output: outputs.map((value) => valueInfo(value)),
    },
  });
  return ModelProto.encode(model).finish();
}
