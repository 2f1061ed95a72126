// What a layer does between its two matrix products, and the gradient of that, over arrays [outer, length, inner, ...].
// projected holds values, keep and read, `hidden` floats of each at a position; forward adds the bias to them and puts
// both gates through a sigmoid, in place. states, gated and by_gated hold those of all directions, `directions * hidden`
// floats at a position; bias is `3 * hidden` floats.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr long BLOCK = 16;  // inner positions that are scanned side by side, so that memory is read in long runs
constexpr long MOST = 1024; // floats of one direction at a position; the caller sees to it

struct Shape {
  long outer, length, inner, hidden, directions;
  long at(long a, long l, long b) const { return (a * length + l) * inner + b; }
};

template <typename Body> void for_each_block(const Shape &s, const Body &body) {
  for (long a = 0; a < s.outer; ++a)
    for (long from = 0; from < s.inner; from += BLOCK)
      body(a, from, std::min(from + BLOCK, s.inner));
}

// Relative error below 3e-7 of exp; NaN stays NaN (Cody and Waite's reduction, Cephes' polynomial).
inline float sigmoid(float x) {
  float y = x < -87.0f ? 87.0f : x > 87.0f ? -87.0f : -x;
  const float n = std::nearbyint(y * 1.44269504f);
  y = (y - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * y + 1.3981999507e-3f;
  p = p * y + 8.3334519073e-3f;
  p = p * y + 4.1665795894e-2f;
  p = p * y + 1.6666665459e-1f;
  p = p * y + 5.0000001201e-1f;
  p = p * y * y + y + 1.0f;
  const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return 1.0f / (1.0f + p * scale);
}

} // namespace

extern "C" void scan_forward(float *projected, const float *bias, float *states, float *gated, long outer, long length, long inner,
                             long hidden, long directions) {
  const Shape s{outer, length, inner, hidden, directions};
  static thread_local float carried[BLOCK * MOST];
  for_each_block(s, [&](long a, long from, long to) {
    for (long l = 0; l < length; ++l)
      for (long b = from; b < to; ++b) {
        float *__restrict here = projected + s.at(a, l, b) * 3 * hidden;
#pragma GCC ivdep
        for (long h = 0; h < hidden; ++h)
          here[h] += bias[h];
#pragma GCC ivdep
        for (long h = hidden; h < 3 * hidden; ++h)
          here[h] = sigmoid(here[h] + bias[h]);
      }
    for (long d = 0; d < directions; ++d) {
      std::memset(carried, 0, sizeof(float) * (to - from) * hidden);
      for (long step = 0; step < length; ++step)
        for (long b = from; b < to; ++b) {
          const long place = s.at(a, d ? length - 1 - step : step, b);
          const float *__restrict value = projected + place * 3 * hidden, *__restrict keep = value + hidden;
          const float *__restrict read = keep + hidden;
          float *__restrict state = states + (place * directions + d) * hidden;
          float *__restrict shown = gated + (place * directions + d) * hidden;
          float *__restrict last = carried + (b - from) * hidden;
#pragma GCC ivdep
          for (long h = 0; h < hidden; ++h) {
            last[h] = value[h] + keep[h] * (last[h] - value[h]);
            state[h] = last[h];
            shown[h] = last[h] * read[h];
          }
        }
    }
  });
}

extern "C" void scan_backward(const float *projected, const float *states, const float *by_gated, float *by_projected,
                              float *gated, float *by_bias, long outer, long length, long inner, long hidden, long directions) {
  const Shape s{outer, length, inner, hidden, directions};
  static thread_local float carried[BLOCK * MOST], summed[3 * MOST];
  std::memset(by_bias, 0, sizeof(float) * 3 * hidden);
  for_each_block(s, [&](long a, long from, long to) {
    for (long d = 0; d < directions; ++d) {
      std::memset(carried, 0, sizeof(float) * (to - from) * hidden);
      for (long step = length - 1; step >= 0; --step) // against the scan
        for (long b = from; b < to; ++b) {
          const long place = s.at(a, d ? length - 1 - step : step, b);
          const long before = s.at(a, d ? length - step : step - 1, b);
          const float *__restrict value = projected + place * 3 * hidden, *__restrict keep = value + hidden;
          const float *__restrict read = keep + hidden;
          const float *__restrict state = states + (place * directions + d) * hidden;
          const float *__restrict gradient = by_gated + (place * directions + d) * hidden;
          const float *__restrict previous = step ? states + (before * directions + d) * hidden : nullptr;
          float *__restrict by_value = by_projected + place * 3 * hidden, *__restrict by_keep = by_value + hidden;
          float *__restrict by_read = by_keep + hidden;
          float *__restrict shown = gated + (place * directions + d) * hidden;
          float *__restrict carry = carried + (b - from) * hidden;
          // The first direction overwrites what the memory held.
          const auto body = [&](long h, float earlier) {
            const float by_state = gradient[h] * read[h] + carry[h];
            carry[h] = by_state * keep[h];
            const float v = by_state * (1.0f - keep[h]), k = by_state * (earlier - value[h]);
            const float r = gradient[h] * state[h];
            shown[h] = state[h] * read[h];
            by_value[h] = d ? by_value[h] + v : v;
            by_keep[h] = d ? by_keep[h] + k : k;
            by_read[h] = d ? by_read[h] + r : r;
          };
          if (previous) {
#pragma GCC ivdep
            for (long h = 0; h < hidden; ++h)
              body(h, previous[h]);
          } else {
#pragma GCC ivdep
            for (long h = 0; h < hidden; ++h)
              body(h, 0.0f);
          }
        }
    }
    std::memset(summed, 0, sizeof(float) * 3 * hidden);
    for (long l = 0; l < length; ++l)
      for (long b = from; b < to; ++b) {
        const float *__restrict gate = projected + s.at(a, l, b) * 3 * hidden;
        float *__restrict by_gate = by_projected + s.at(a, l, b) * 3 * hidden;
#pragma GCC ivdep
        for (long h = 0; h < hidden; ++h)
          summed[h] += by_gate[h];
#pragma GCC ivdep
        for (long h = hidden; h < 3 * hidden; ++h) { // through the sigmoid of both gates
          by_gate[h] *= gate[h] * (1.0f - gate[h]);
          summed[h] += by_gate[h];
        }
      }
    for (long h = 0; h < 3 * hidden; ++h) // block by block: one long sum would lose digits
      by_bias[h] += summed[h];
  });
}
