import { fromLatin1 } from './pickleText.ts';
import { Inert, OrderedDict, type PythonValue, Tuple } from './pythonValue.ts';

/**
 * Stands in for the harmless calls of Python and NumPy that checkpoints contain, without Python: empty and copied containers,
 * bytes hidden in text, NumPy's scalars. undefined for every other call.
 */
export function callKnown(name: string, args: readonly PythonValue[]): PythonValue | undefined {
  const [first, second] = args;
  switch (name) {
    case 'collections.OrderedDict':
      return fill(new OrderedDict(), first);
    case 'collections.defaultdict':
      return fill(new Map(), second);
    case 'builtins.dict':
    case '__builtin__.dict':
      return fill(new Map(), first);
    case 'builtins.set':
    case '__builtin__.set':
    case 'builtins.frozenset':
    case '__builtin__.frozenset':
      return first === undefined
        ? new Set()
        : Array.isArray(first)
          ? new Set<PythonValue>(first)
          : undefined;
    case 'builtins.list':
    case '__builtin__.list':
      return first === undefined ? [] : Array.isArray(first) ? first : undefined;
    case 'builtins.bytearray':
    case 'builtins.bytes':
      return first === undefined
        ? new Uint8Array(0)
        : first instanceof Uint8Array
          ? first
          : undefined;
    case '_codecs.encode':
      return typeof first === 'string' && (second === 'latin1' || second === 'latin-1')
        ? fromLatin1(first)
        : undefined;
    case 'torch.Size':
      return first instanceof Tuple ? first : undefined;
    case 'numpy.core.multiarray.scalar':
    case 'numpy._core.multiarray.scalar':
      return numpyScalar(first, second);
    default:
      return undefined;
  }
}

function fill<T extends Map<PythonValue, PythonValue>>(map: T, pairs: PythonValue | undefined): T {
  if (pairs instanceof Map) pairs.forEach((value, key) => map.set(key, value));
  if (!Array.isArray(pairs)) return map;
  for (const pair of pairs) {
    if (Array.isArray(pair) && pair.length === 2) map.set(pair[0]!, pair[1]!);
  }
  return map;
}

/** `numpy.dtype('f8')` with its byte order in the state set afterwards, and the number's bytes. */
function numpyScalar(
  dtype: PythonValue | undefined,
  bytes: PythonValue | undefined,
): PythonValue | undefined {
  if (!(dtype instanceof Inert) || dtype.name !== 'numpy.dtype' || !Array.isArray(dtype.args))
    return undefined;
  const littleEndian = !Array.isArray(dtype.state) || dtype.state[1] !== '>';
  const [code] = dtype.args;
  if (
    !(bytes instanceof Uint8Array) ||
    typeof code !== 'string' ||
    bytes.length !== Number(code.slice(1))
  )
    return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (code) {
    case 'f8':
      return view.getFloat64(0, littleEndian);
    case 'f4':
      return view.getFloat32(0, littleEndian);
    case 'i8':
      return Number(view.getBigInt64(0, littleEndian));
    case 'i4':
      return view.getInt32(0, littleEndian);
    case 'u1':
      return view.getUint8(0);
    case 'b1':
      return view.getUint8(0) !== 0;
    default:
      return undefined;
  }
}
