/** A number where it is exact, else the bigint. */
export function plain(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Text of UTF-8 bytes; what is not valid becomes U+FFFD. */
export function utf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** Text whose character codes are the bytes. */
export function latin1(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}

/** The bytes that are the character codes of a text. */
export function fromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The integer of an INT or LONG opcode; `00` and `01` are booleans there. */
export function decimal(line: string, broken: (why: string) => Error): boolean | number | bigint {
  if (line === '00') return false;
  if (line === '01') return true;
  if (line.length > 1024 || !/^-?\d+L?$/.test(line))
    throw broken(`an integer written as ${line.slice(0, 20)}`);
  return plain(BigInt(line.replace('L', '')));
}

/** The text of a UNICODE opcode (Python's raw-unicode-escape). */
export function unescape(line: string): string {
  return line.replace(
    /\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g,
    (whole, short?: string, long?: string) => {
      const code = parseInt(short ?? long ?? '', 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

/** The text that a Python 2 string literal stands for. */
export function unquote(literal: string, broken: (why: string) => Error): string {
  const match = /^(['"])(.*)\1$/s.exec(literal);
  if (!match) throw broken('a text without quotes');
  const simple: Record<string, string> = { n: '\n', r: '\r', t: '\t' };
  return match[2]!.replace(/\\(x[0-9a-fA-F]{2}|.)/gs, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(parseInt(code.slice(1), 16)) : (simple[code] ?? code),
  );
}
