// SPDX-License-Identifier: Apache-2.0
// The colours that Python hands to every picture: moe_viz/view/palette.py.

export interface Theme {
  ground: string;
  ink: string;
  line: string;
  muted: string;
  /** Experts that have no colour of their own, where there are many. */
  others: string;
  /** What is shared with the selected token, and what has been touched. */
  shared: string;
  /** Share of an expert's colour at the smallest possible gate, 1/k, and at gate 1. */
  faintest: number;
  strongest: number;
}

export interface Palette {
  /** One colour for each expert; beyond the last they repeat. */
  experts: string[];
  /** The experts on whose colour a digit is white. */
  white: number[];
  light: Theme;
  dark: Theme;
  /** Anchors of the scales for quantities, and for differences. */
  cividis: string[];
  difference: string[];
}
