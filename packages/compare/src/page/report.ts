/** @file What the page shows, as plain data. Every text in it may come from anybody. */
import type { Metrics } from '../runs/metrics.ts';

/** A picture inside of the page. */
export interface Embedded {
  /** `data:image/webp;base64,...` */
  readonly url: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}

/** A drawn picture, and how it came to be. */
export interface Shot {
  readonly picture: Embedded;
  /** As it was drawn, the run's word in its place. */
  readonly prompt: string;
  readonly seed: number;
  /** What draws it again. */
  readonly command: string;
}

/** Figures of a column; undefined where one is not known. */
export interface Figures {
  /** 0..1: share of the pictures in which the classifier sees the wanted artist's hand. */
  readonly style: number | undefined;
  /** 0..1: share in which it sees what the prompts name. */
  readonly concept: number | undefined;
  /** How far apart the pictures of one prompt are. */
  readonly diversity: number | undefined;
  /** Validation loss on pictures like those that the base came from. */
  readonly heldOutLoss: number | undefined;
  /** Validation loss after the last step. */
  readonly validationLoss: number | undefined;
  /** Trained numbers. */
  readonly parameters: number | undefined;
  /** Of what was learned. */
  readonly bytes: number | undefined;
  /** Wall time of the training. */
  readonly seconds: number | undefined;
  /** Bytes that training took at most. */
  readonly memory: number | undefined;
}

/** The base, or a run. */
export interface Column {
  readonly label: string;
  /** Undefined for the base. */
  readonly method: string | undefined;
  /** What stands in the place of `{}`. */
  readonly word: string | undefined;
  /** For each prompt its pictures, one a seed. */
  readonly shots: readonly (readonly Shot[])[];
  readonly figures: Figures;
  readonly curves: Metrics | undefined;
  /** YAML; undefined for the base. */
  readonly recipe: string | undefined;
}

/** A picture that the runs learned from. */
export interface TrainingPicture {
  readonly picture: Embedded;
  readonly caption: string;
}

/** Where the artwork behind base and pictures comes from. */
export interface Credit {
  readonly work: string;
  readonly author: string;
  readonly licence: string;
  readonly source: string;
}

export interface Report {
  readonly title: string;
  readonly base: string;
  /** As they were given: `{}` stands for the word of a run. */
  readonly prompts: readonly string[];
  readonly seeds: readonly number[];
  /** How pictures were drawn. */
  readonly drawing: {
    readonly steps: number;
    readonly sampler: string;
    readonly cfg: number;
    /** Pixels. */
    readonly width: number;
    readonly height: number;
  };
  /** The base first, then the runs. */
  readonly columns: readonly Column[];
  readonly training: {
    /** Those that there is room for. */
    readonly pictures: readonly TrainingPicture[];
    /** How many there are. */
    readonly count: number;
  };
  /** What the classifier is, and how often it is right; undefined where none was asked. */
  readonly classifier: string | undefined;
  /** What is missing on the page and why, one sentence each. */
  readonly missing: readonly string[];
  readonly credits: readonly Credit[];
  /** The command that made the page. */
  readonly command: string;
  /** Of sdft. */
  readonly version: string;
  /** The day it was made, 2026-11-26. */
  readonly date: string;
}
