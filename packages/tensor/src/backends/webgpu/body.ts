/** @file WGSL as it is being written: statements, with equal expressions computed once. */
import { internal } from '../../errors.ts';
import type { Term } from './places.ts';

const simple = (code: string): boolean => /^[\w.]+$/.test(code);

/** What expressions are bound in. `statements: false`: one expression is wanted, so nothing can be bound or branched on. */
export class Body {
  readonly statements: boolean;
  readonly #lines: string[] = [];
  readonly #scopes: Map<string, string>[] = [new Map()];
  /** Helper functions that are called, by name. */
  readonly functions = new Set<string>();
  #count = 0;

  constructor(statements = true) {
    this.statements = statements;
  }

  get code(): string {
    return this.#lines.join('\n');
  }

  line(code: string): void {
    if (!this.statements) throw internal('a statement where one expression is wanted');
    this.#lines.push(`${'  '.repeat(this.#scopes.length)}${code}`);
  }

  /** A name for the value of `code`: the one that it has already, if it is in sight. */
  bind(code: string): string {
    if (simple(code)) return code;
    if (!this.statements) return code;
    for (const scope of this.#scopes) {
      const known = scope.get(code);
      if (known !== undefined) return known;
    }
    const name = this.fresh();
    this.line(`let ${name} = ${code};`);
    this.#scopes.at(-1)!.set(code, name);
    return name;
  }

  /** The value of `make`, bound; made once for each key that is in sight. */
  remember(key: string, make: () => string): string {
    for (const scope of this.#scopes) {
      const known = scope.get(key);
      if (known !== undefined) return known;
    }
    const name = this.bind(make());
    this.#scopes.at(-1)!.set(key, name);
    return name;
  }

  readonly term = (term: Term): Term => ({ ...term, code: this.bind(term.code) });

  fresh(): string {
    return `v${this.#count++}`;
  }

  /** `head { ... }`; what is bound inside is not seen outside. */
  block(head: string, inside: () => void): void {
    this.line(`${head} {`);
    this.#scopes.push(new Map());
    inside();
    this.#scopes.pop();
    this.line('}');
  }

  /** Calls a helper of functions.ts. */
  call(name: string, ...args: readonly string[]): string {
    this.functions.add(name);
    return `${name}(${args.join(', ')})`;
  }
}
