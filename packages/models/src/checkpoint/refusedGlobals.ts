/**
 * Python modules whose functions run programs or code, load libraries, or reach files and the network. No checkpoint has a
 * reason to name one: a file that does is an attack on whoever opens it with Python. Nothing is called here in any case; the list
 * only decides between "unknown, kept inert" and "refused". Most names: picklescan `scanner.py`.
 */
const modules = words(`
  _io _pickle _posixsubprocess _thread _winapi aiohttp asyncio bdb cProfile cffi cloudpickle code codeop commands compileall
  ctypes dill distutils ensurepip ftplib http httplib idlelib imaplib importlib joblib marshal mmap msvcrt multiprocessing nt os
  pdb pickle pip pkgutil poplib popen2 posix pty pydoc requests runpy shelve shutil smtplib socket sqlite3 ssl subprocess sys
  tarfile telnetlib tempfile timeit urllib urllib2 urllib3 venv webbrowser winreg xmlrpc zipfile zipimport`);

const builtins = words(
  '__import__ apply breakpoint compile eval exec execfile globals input open raw_input setattr',
);

const functions = words(`
  io.FileIO io.open io.open_code torch.load torch.save torch.hub.load torch.jit.load torch.ops.load_library
  torch.classes.load_library torch.package.PackageImporter numpy.load numpy.fromfile numpy.memmap numpy.save
  numpy.testing._private.utils.runstring types.CodeType types.FunctionType`);

/** Whether naming `module.name` is by itself reason enough to refuse a file. */
export function isRefused(module: string, name: string): boolean {
  const root = module.split('.', 1)[0]!;
  if (modules.has(root) || module.startsWith('torch.utils.cpp_extension')) return true;
  if (['builtins', '__builtin__', '__builtins__'].includes(root)) {
    return builtins.has(name.split('.', 1)[0]!);
  }
  return functions.has(`${module}.${name}`);
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/));
}
