import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Weight } from '@sdft/tensor';
import { zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../src/checkpoint/byteSource.ts';
import { readFloat32 } from '../../src/checkpoint/floats.ts';
import { Inert, OrderedDict, type PythonValue, Tuple } from '../../src/checkpoint/pythonValue.ts';
import { allTensors, plainEntries, stateDictOf } from '../../src/checkpoint/stateDict.ts';
import { readTorchLegacy } from '../../src/checkpoint/torchLegacy.ts';
import { torchContext } from '../../src/checkpoint/torchTensors.ts';
import { readPickle } from '../../src/checkpoint/pickle.ts';
import { openTorch } from '../../src/node/torchFile.ts';
import { fixture, golden, json, lines, temporaryFolder, userError } from './support.ts';

const folder = temporaryFolder();
type Manifest = Record<string, { tensors?: Record<string, [string, number[], string]> }>;

describe('files that PyTorch wrote, against their manifests', () => {
  test.each(
    Object.entries(json<Manifest>(fixture('manifest.json'))).filter(([, { tensors }]) => tensors),
  )('%s', async (name, { tensors }) => {
    const { value } = await openTorch(fixture(name));
    expect(lines(allTensors(value, name))).toEqual(tensors);
  });

  test.each(['model-f16.ckpt', 'vae-only-legacy.ckpt'])('%s', async (name) => {
    const { tensors } = json<Manifest>(golden('files/manifest.json'))[name]!;
    const { value } = await openTorch(golden(`files/${name}`));
    expect(lines(stateDictOf(value, name))).toEqual(tensors);
  });

  test('hypernetworks keep numbers as keys and tuples', async () => {
    const { value } = await openTorch(golden('train/hn_linear/result.pt'));
    const map = value as Map<PythonValue, PythonValue>;
    expect([...map.keys()].slice(0, 3)).toEqual([12, 16, 32]);
    const pair = map.get(12) as Tuple;
    expect(pair).toBeInstanceOf(Tuple);
    expect(pair[0]).toBeInstanceOf(OrderedDict);
    expect((pair[0] as OrderedDict).state).toBeInstanceOf(Map);
    expect(map.get('layer_structure')).toEqual([1, 2, 1]);
    const { value: members } = await openTorch(golden('train/hn_linear/result.a1111-era.pt'));
    expect(lines(allTensors(members, ''))).toEqual(lines(allTensors(value, '')));
  });
});

describe('what surrounds the tensors', () => {
  test.each(['lightning.ckpt', 'lightning-legacy.ckpt'])(
    '%s: a class as key, numpy numbers, unknown classes',
    async (name) => {
      const { value, names } = await openTorch(fixture(name));
      const map = value as Map<string, PythonValue>;
      expect(plainEntries(value)).toEqual({
        epoch: 3,
        global_step: 123456789012,
        'pytorch-lightning_version': '1.9.0',
        native_amp_scaling_state: null,
      });
      const [[callback, state] = []] = map.get('callbacks') as Map<Inert, Map<string, PythonValue>>;
      expect(callback).toBeInstanceOf(Inert);
      expect(callback!.name).toBe('pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint');
      expect(state!.get('best_model_score')).toBe(0.125);
      const parameters = map.get('hyper_parameters') as Inert;
      expect(parameters.name).toBe('argparse.Namespace');
      const inner = parameters.state as Map<string, Inert>;
      expect(inner.get('config')).toMatchObject({
        name: 'omegaconf.dictconfig.DictConfig',
        entries: new Map([['lr', 1e-4]]),
      });
      expect(inner.get('steps')).toMatchObject({ items: [1, 2] });
      expect(inner.get('seen')).toEqual(new Set([1, 2]));
      expect(names).toContain('omegaconf.dictconfig.DictConfig');
      expect([...stateDictOf(value, name).keys()]).toEqual([
        '0.weight',
        '0.bias',
        '1.weight',
        '1.bias',
      ]);
    },
  );
});

describe('places', () => {
  test('contiguous tensors point into the file, others are gathered', async () => {
    for (const name of ['strided.pt', 'strided-legacy.pt']) {
      const tensors = (await openTorch(fixture(name))).value as Map<string, Weight>;
      for (const whole of ['whole', 'rows', 'parameter']) {
        const { path, offset, length } = tensors.get(whole)!.file!;
        expect(
          Buffer.from(tensors.get(whole)!.read()).equals(
            readFileSync(path).subarray(offset, offset + length),
          ),
        ).toBe(true);
      }
      for (const strided of ['transposed', 'columns', 'every_other', 'expanded', 'channels_last'])
        expect(tensors.get(strided)!.file, strided).toBeUndefined();
      const [whole, rows] = [tensors.get('whole')!.file!, tensors.get('rows')!.file!];
      expect(rows.offset).toBe(whole.offset + 2 * 8 * 2);
      expect([...readFloat32(tensors.get('expanded')!)].slice(8, 16)).toEqual(
        [...readFloat32(tensors.get('whole')!)].slice(0, 8),
      );
    }
  });
});

describe('malicious', () => {
  const sample = golden('files/malicious-sample.ckpt');
  const mark = join(tmpdir(), 'pwned-sample');

  test('the sample is refused by name, and nothing runs', async () => {
    const said = await userError(() => openTorch(sample));
    expect(said).toContain(`${sample}: refused. It names posix.system`);
    expect(existsSync(mark)).toBe(false);
  });

  test('a bare pickle with an attack is refused the same way', async () => {
    const path = join(folder, 'bare.pt');
    writeFileSync(path, 'cposix\nsystem\n(S"true"\ntR.');
    expect(await userError(() => openTorch(path))).toContain('refused. It names posix.system');
  });

  const script = `
    import { openTorch } from ${JSON.stringify(new URL('../../src/node/torchFile.ts', import.meta.url).href)};
    await openTorch(${JSON.stringify(sample)}).catch((error) => console.log(error.name));`;
  const command = ['--conditions=@sdft/source', '--input-type=module', '-e', script];

  test('reading it needs no leave to start programs, to write, or to read anything but code and the file', () => {
    const root = fileURLToPath(new URL('../../../../', import.meta.url));
    const said = execFileSync(
      process.execPath,
      ['--permission', `--allow-fs-read=${root}`, ...command],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
    expect(said.trim()).toBe('UserError');
  });

  test.runIf(spawnSync('strace', ['-V']).status === 0)(
    'the system sees no process, no connection, no file opened for writing (where strace is installed)',
    () => {
      const log = join(folder, 'strace.log');
      execFileSync(
        'strace',
        [
          '-f',
          '-o',
          log,
          '-e',
          'trace=execve,connect,openat,unlink,rename',
          process.execPath,
          ...command,
        ],
        // Node itself would keep what it makes of the sources.
        { stdio: 'ignore', env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1' } },
      );
      const calls = readFileSync(log, 'utf8').split('\n');
      expect(calls.filter((call) => call.includes('execve(')).length).toBe(1);
      expect(calls.filter((call) => /connect\(|unlink\(|rename\(/.test(call))).toEqual([]);
      expect(
        calls.filter((call) => /O_WRONLY|O_RDWR/.test(call) && !call.includes('/dev/null')),
      ).toEqual([]);
      expect(calls.some((call) => call.includes('malicious-sample.ckpt'))).toBe(true);
    },
  );
});

describe('broken files', () => {
  const bytes = readFileSync(fixture('strided.pt'));
  const legacy = readFileSync(fixture('strided-legacy.pt'));
  const open = async (content: Uint8Array): Promise<string> => {
    const path = join(folder, 'broken.pt');
    writeFileSync(path, content);
    const said = await userError(() => openTorch(path));
    expect(said).toContain(path);
    return said;
  };

  test.each<[string, Uint8Array, string]>([
    ['empty', new Uint8Array(), 'is neither safetensors nor a file that PyTorch saved'],
    ['a zip cut short', bytes.subarray(0, bytes.length / 2), 'is it a download that was cut?'],
    [
      'a legacy file cut in its tensors',
      legacy.subarray(0, legacy.length - 40),
      'is it a download that was cut?',
    ],
    ['a legacy file cut in its pickle', legacy.subarray(0, 300), 'it ends inside'],
    [
      'another kind of zip',
      zipSync({ 'a.txt': Buffer.from('hello') }),
      'is a zip archive without data.pkl',
    ],
    [
      'a compressed zip',
      zipSync({ 'archive/data.pkl': Buffer.from('N.'.padEnd(100)) }, { level: 9 }),
      'is compressed',
    ],
    [
      'two pickles',
      zipSync({ 'a/data.pkl': Buffer.from('N.'), 'b/data.pkl': Buffer.from('N.') }, { level: 0 }),
      '2 files in it are called data.pkl',
    ],
    [
      'a program',
      zipSync(
        { 'a/data.pkl': Buffer.from('N.'), 'a/constants.pkl': Buffer.from('N.') },
        { level: 0 },
      ),
      'TorchScript',
    ],
    [
      'a big-endian file',
      zipSync({ 'a/data.pkl': Buffer.from('N.'), 'a/byteorder': Buffer.from('big') }, { level: 0 }),
      'big-endian',
    ],
    [
      'a path out of the archive',
      zipSync({ '../data.pkl': Buffer.from('N.') }, { level: 0 }),
      'not a whole PyTorch file',
    ],
    ['a zip that points beyond all numbers', pointingBeyond(), 'it points beyond its end'],
    [
      'a git-lfs pointer',
      Buffer.from('version https://git-lfs.github.com/spec/v1\noid'),
      'git lfs pull',
    ],
    ['a web page', Buffer.from('<!DOCTYPE html><html>'), 'is a web page'],
    [
      'a picture',
      Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
      'is neither safetensors nor a file that PyTorch saved',
    ],
    [
      'a tar of 2016',
      Buffer.concat([Buffer.alloc(257), Buffer.from('ustar'), Buffer.alloc(100)]),
      '2016',
    ],
  ])('%s', async (_, content, message) => {
    expect(await open(content)).toContain(message);
  });

  /** A zip whose large-file locator names a place near 2^64. */
  function pointingBeyond(): Uint8Array {
    const zip = zipSync({ 'a/data.pkl': Buffer.from('N.') }, { level: 0 });
    const locator = Buffer.alloc(20, 0xff);
    locator.writeUInt32LE(0x07064b50);
    return Buffer.concat([
      zip.subarray(0, zip.length - 22),
      locator,
      zip.subarray(zip.length - 22),
    ]);
  }

  /** A pickle of one tensor over one storage of 8 bytes. */
  const tensor = (elements: number, rest: string): string =>
    `ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK${String.fromCharCode(elements)}tQ${rest}\x89ccollections\nOrderedDict\n)RtR.`;
  const load = (text: string): PythonValue => {
    const source = bytesSource(Buffer.from(text, 'latin1'), 'bad.pt');
    const place = { source: bytesSource(new Uint8Array(8), 'bad.pt'), offset: 0, length: 8 };
    return readPickle(
      source,
      0,
      source.size,
      torchContext('bad.pt', () => place),
    ).value;
  };
  const long = (n: bigint): string =>
    `\x8a\x08${Buffer.from(BigUint64Array.of(n).buffer).toString('latin1')}`;

  test('a tensor that fits', () => {
    expect(load(tensor(2, 'K\0K\x02\x85K\x01\x85'))).toMatchObject({ dtype: 'f32', shape: [2] });
  });
  test.each<[string, string, string]>([
    [
      'more elements than the storage has',
      tensor(2, 'K\0K\x03\x85K\x01\x85'),
      'reaches to byte 12 of 8',
    ],
    ['an offset beyond it', tensor(2, 'K\x02K\x01\x85K\x01\x85'), 'reaches to byte 12 of 8'],
    [
      'a storage beyond the file',
      tensor(9, 'K\0K\x01\x85K\x01\x85'),
      'needs 36 bytes of it, the file holds 8',
    ],
    [
      '4e18 elements with stride 0',
      tensor(2, `K\0${long(2n ** 31n)}${long(2n ** 31n)}\x86K\0K\0\x86`),
      'beyond all use (stride 0)',
    ],
    ['sizes beyond exact numbers', tensor(2, `K\0${long(2n ** 53n)}\x85K\0\x85`), 'no proper size'],
    [
      'a stride beyond exact numbers',
      tensor(2, `K\0K\x02\x85${long(2n ** 52n)}\x85`),
      'reaches to byte',
    ],
    ['a negative stride', tensor(2, 'K\0K\x02\x85J\xff\xff\xff\xff\x85'), 'no proper size'],
    ['a negative offset', tensor(2, 'J\xff\xff\xff\xffK\x01\x85K\x01\x85'), 'no proper size'],
    ['size and stride of different length', tensor(2, 'K\0K\x02\x85)'), 'no proper size'],
    [
      'a tensor without storage',
      'ctorch._utils\n_rebuild_tensor_v2\n(K\0K\0))\x89)tR.',
      'without a storage',
    ],
    ['a reference that is no storage', 'K\x01Q.', 'refers to data that is no storage'],
    [
      'a complex storage',
      '(X\x07\0\0\0storagectorch\nComplexFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ.',
      'stored as torch.ComplexFloatStorage, which is not supported',
    ],
  ])('%s', async (_, text, message) => {
    const said = await userError(() => load(text));
    expect(said).toContain('bad.pt');
    expect(said).toContain(message);
  });

  test('a legacy file with another version', async () => {
    const other = Buffer.from(legacy);
    other[other.indexOf(Buffer.from([0x4d, 0xe9, 0x03])) + 1] = 0;
    expect(await userError(() => readTorchLegacy(bytesSource(other, 'x')))).toContain(
      'another magic number or version',
    );
  });

  test('a state dict that needs a function to be run', async () => {
    const value = new Map<PythonValue, PythonValue>([
      ['state_dict', new Map([['w', new Inert('a.f', Tuple.of())]])],
    ]);
    expect(await userError(() => stateDictOf(value, 'x.ckpt'))).toContain(
      'x.ckpt: w is no tensor but the result of calling a.f',
    );
    expect(await userError(() => stateDictOf([1], 'x.ckpt'))).toContain('no dict of tensors');
  });
});
