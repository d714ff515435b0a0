// Paths that are looked at every few steps until each has arrived or is lost; see samdyn/basin/paths/native_arrival.py.
//
// Pasted behind steps.hpp and the numbers POINT (coordinates of a point, which stand first in a state), SIDE (cells
// along a side of a target's grid) and the codes DIVERGED and NOT_A_NUMBER. A path under way has label 0.

// The targets, one after the other in each array.
struct Targets {
  const REAL *scale;      // factors of the coordinates in distances, (STATE,)
  const REAL *middle;     // of the box, (POINT,), and behind it how far from there a path may be, (POINT,)
  int64_t count;
  const int64_t *kind;    // label, whether there is a grid, first point, number of points, first entry of `cells`
  const REAL *size;       // radius, lower and upper end of the box about it (STATE each), cells per unit (STATE)
  const REAL *points;     // (., STATE)
  const int64_t *cells;   // of a grid: where the points of each cell begin, and where those of the last one end
};
constexpr int KIND = 5, SIZE = 1 + 3 * STATE;

INLINE Mask lost(const Group &g, const Targets &t) {
  Mask fine = Mask{} - 1;
  for (int d = 0; d < STATE; d++) fine = fine & is_finite(g.x[d]);
  for (int d = 0; d < POINT; d++) fine = fine & (lane_fabs(g.x[d] - t.middle[d]) <= wide(t.middle[POINT + d]));
  return ~fine;
}

// Whether a point, in scaled coordinates, is within the radius of one of the target's points: of those that the grid
// lists for its cell.
INLINE bool in_grid(const REAL *y, const Targets &t, const int64_t *kind, const REAL *size) {
  int64_t cell = 0;
  for (int d = 0; d < STATE; d++) {
    const REAL place = (y[d] - size[1 + d]) * size[1 + 2 * STATE + d];
    const int64_t own = int64_t(place);
    cell = cell * SIDE + (own < SIDE ? own : SIDE - 1);
  }
  const int64_t *from = t.cells + kind[4] + cell;
  for (int64_t k = from[0]; k < from[1]; k++) {
    REAL square = 0;
    for (int d = 0; d < STATE; d++) {
      const REAL away = y[d] - t.points[k * STATE + d];
      square += away * away;
    }
    if (lane_sqrt(square) <= size[0]) return true;
  }
  return false;
}

// The labels of the paths that are near a target, 0 of the others. Of several targets the last one counts.
INLINE Mask near(const Group &g, Mask going, const Targets &t) {
  Vector y[STATE];
  for (int d = 0; d < STATE; d++) y[d] = g.x[d] * t.scale[d];
  Mask label{};
  for (int64_t k = 0; k < t.count; k++) {
    const int64_t *kind = t.kind + KIND * k;
    const REAL *size = t.size + SIZE * k;
    Mask inside = going;
    for (int d = 0; d < STATE; d++) inside = inside & (y[d] >= wide(size[1 + d])) & (y[d] <= wide(size[1 + STATE + d]));
    if (!any(inside)) continue;
    Mask found{};
    if (kind[1]) {
      for (int l = 0; l < LANES; l++) {
        REAL at[STATE];
        for (int d = 0; d < STATE; d++) at[d] = y[d][l];
        if (inside[l]) found[l] = -Integer(in_grid(at, t, kind, size));
      }
    } else {
      const REAL *point = t.points + kind[2] * STATE, square_of_radius = size[0] * size[0];
      for (int64_t j = 0; j < kind[3]; j++, point += STATE) {
        Vector square = (y[0] - point[0]) * (y[0] - point[0]);
        for (int d = 1; d < STATE; d++) square = square + (y[d] - point[d]) * (y[d] - point[d]);
        found = found | (square <= wide(square_of_radius));
      }
      found = found & inside;
    }
    label = blend(found, Mask{} + Integer(kind[0]), label);
  }
  return label;
}

// Paths from step `first_step` to step `end` at most. Written are the label and the step of those that end, and the
// states of the others.
ENTRY void arrive(int64_t n, const int64_t *path, REAL *const *state, const REAL *const *values, const int64_t *strides,
                  int64_t first_step, int64_t end, int64_t every, const REAL *scale, const REAL *middle,
                  int64_t n_targets, const int64_t *kinds, const REAL *sizes, const REAL *points, const int64_t *cells,
                  int64_t *label, int64_t *ended, uint32_t k0, uint32_t k1, const REAL *numbers, int64_t n_samples,
                  const int64_t *threshold, const int64_t *alias) {
  const Samples samples{numbers, n_samples, threshold, alias};
  const Targets targets{scale, middle, n_targets, kinds, sizes, points, cells};
  PATHS(i, n, GROUPS) {
    Group group[GROUPS];
    Vector before[GROUPS][STATE + 1];
    Mask going[GROUPS];
    for (int q = 0; q < GROUPS; q++) {
      const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
      load_paths(group[q], path, state, values, strides, a, rest);
      going[q] = Mask{};
      for (int l = 0; l < LANES && l < rest; l++) going[q][l] = -1;
    }
    const auto finish = [&](int q, Mask code, int64_t step) {
      for (int l = 0; l < LANES; l++) {
        if (!(code[l] && going[q][l])) continue;
        label[i + q * LANES + l] = code[l];
        ended[i + q * LANES + l] = step;
      }
      going[q] = going[q] & (code == Integer(0));
    };
    for (int64_t step = first_step;;) {
      Mask left{};
      for (int q = 0; q < GROUPS; q++) {
        const Mask code = near(group[q], going[q], targets);
        if (any(code)) finish(q, code, step);
        left = left | going[q];
      }
      if (step >= end || !any(left)) break;
      const int64_t next = step + every < end ? step + every : end;
      for (int q = 0; q < GROUPS; q++)
        for (int d = 0; d < STATE; d++) before[q][d] = group[q].x[d];
      take_steps<GROUPS>(group, n, i, values, strides, first_step, step, next, k0, k1, samples, [](int64_t) {});
      for (int q = 0; q < GROUPS; q++) {
        const Mask gone = lost(group[q], targets) & going[q];
        if (!any(gone)) continue;
        // step by step again: a path that is nan at a step from nearby has not diverged
        Mask code = Mask{} + DIVERGED, open = gone;
        Group again = group[q];
        for (int d = 0; d < STATE; d++) again.x[d] = before[q][d];
        for (int64_t one = step; one < next && any(open); one++) {
          take_steps<1>(&again, n, i + q * LANES, values, strides, first_step, one, one + 1, k0, k1, samples,
                        [](int64_t) {});
          Mask undefined{};
          for (int d = 0; d < STATE; d++) undefined = undefined | (again.x[d] != again.x[d]);
          code = blend(open & undefined, Mask{} + NOT_A_NUMBER, code);
          open = open & ~lost(again, targets);
        }
        finish(q, code & gone, next);
      }
      step = next;
    }
    for (int q = 0; q < GROUPS; q++) {
      const int64_t a = i + q * LANES, rest = n > a ? n - a : 0;
      for (int d = 0; d < STATE; d++) store(group[q].x[d], state[d] + a, rest);
    }
  }
}
