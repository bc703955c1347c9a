// Yardstick of benchmarks/reconciliation_kernel.py: the layered sum-product decoder of satqkd.kernels.ldpc, the
// same integers in the same order, written by hand with the intrinsics of the machine it is compiled on.
//
// Sixteen 16-bit lanes in a 256-bit register: AVX-512 (BW, VL) where the compiler has it, else AVX2. Layout,
// mirrored tails, order of messages, prefetch and stopping rule are the kernel's; so is every result, bit for bit.
// One step is told to the machine in another way than the kernel's, because it is faster so: a power of two by
// lane is looked up by its bytes (AVX2 has no shift by lane).

#include <cstdint>
#include <immintrin.h>

#if !defined(__AVX2__)
#error "expected AVX2 or AVX-512 (BW, VL)"
#endif
#if defined(__AVX512BW__) && defined(__AVX512VL__)
#define WIDE_MASKS 1
#else
#define WIDE_MASKS 0
#endif

namespace {

using V = __m256i;
using Short = std::int16_t;
using Int = std::int32_t;
using Index = std::int64_t;

constexpr Index LANES = 16, AHEAD = 96;

inline V load(const Short *from) { return _mm256_loadu_si256(reinterpret_cast<const V *>(from)); }
inline void store(Short *to, V a) { _mm256_storeu_si256(reinterpret_cast<V *>(to), a); }
inline V splat(int a) { return _mm256_set1_epi16(static_cast<Short>(a)); }

#if WIDE_MASKS

inline V choose_at_least(V a, V b, V c, V d) {
    return _mm256_mask_blend_epi16(_mm256_cmpge_epu16_mask(a, b), d, c);
}
inline Index negatives(V a) { return __builtin_popcount(_mm256_movepi16_mask(a)); }
inline V power_of_two(V zeros) { return _mm256_sllv_epi16(splat(1), zeros); }
inline V exponent_and_fraction(V s) {
    const __m512i bits = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(s)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

#else

inline V choose_at_least(V a, V b, V c, V d) {
    return _mm256_blendv_epi8(d, c, _mm256_cmpeq_epi16(_mm256_max_epu16(a, b), a));
}
inline Index negatives(V a) {
    return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_epi8(a)) & 0xAAAAAAAAu);
}
// 2^(15 - octave), octave < 16: its two bytes are looked up.
inline V power_below(V octave) {
    const V bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, -128, 64, 32, 16, 8, 4, 2, 1));
    const V both = _mm256_or_si256(octave, _mm256_slli_epi16(octave, 8));
    return _mm256_shuffle_epi8(bytes, _mm256_xor_si256(both, splat(0x0800)));
}
inline V power_of_two(V zeros) { return power_below(_mm256_sub_epi16(splat(15), zeros)); }
inline V exponent_and_fraction(V s) {
    const V zero = _mm256_setzero_si256();
    const V low = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_unpacklo_epi16(s, zero)));
    const V high = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_unpackhi_epi16(s, zero)));
    return _mm256_packus_epi32(_mm256_srli_epi32(low, 16), _mm256_srli_epi32(high, 16));
}

#endif

// The inverse of exponent_and_fraction, to whole numbers.
inline V exponential(V upper) {
    const V zero = _mm256_setzero_si256();
    const V low = _mm256_cvttps_epi32(_mm256_castsi256_ps(_mm256_unpacklo_epi16(zero, upper)));
    const V high = _mm256_cvttps_epi32(_mm256_castsi256_ps(_mm256_unpackhi_epi16(zero, upper)));
    return _mm256_packus_epi32(low, high);
}

inline V phi(V a) {
    const V far = exponential(_mm256_subs_epu16(splat(142 * 128), a));
    const V near = _mm256_slli_epi16(_mm256_subs_epu16(splat(150), a), 6);
    const V nearest = _mm256_slli_epi16(_mm256_subs_epu16(splat(38), a), 9);
    return _mm256_add_epi16(far, _mm256_add_epi16(near, nearest));
}

// The float of s >= 1 has 142 less the leading zeros of 16 bits as its exponent.
struct Logarithm {
    V s, log, part, bow;
    explicit Logarithm(V sum)
        : s(_mm256_max_epu16(sum, splat(1))), log(exponent_and_fraction(s)), part(_mm256_and_si256(log, splat(127))),
          bow(_mm256_mullo_epi16(_mm256_mullo_epi16(part, _mm256_sub_epi16(splat(128), part)), splat(11))) {}
};

inline V phi_back(const Logarithm &of) {
    const V s = of.s, log = of.log, bow = of.bow;
    const V lacks = _mm256_srli_epi16(_mm256_subs_epu16(s, splat(8192)), 9);
    const V near = _mm256_sub_epi16(_mm256_sub_epi16(_mm256_add_epi16(splat(142 * 128), lacks), log),
                                    _mm256_srli_epi16(bow, 12));
    const V over = _mm256_subs_epu16(s, splat(-32768));
    const V steep = _mm256_subs_epu16(splat(50), _mm256_srli_epi16(over, 9));
    const V flat = _mm256_sub_epi16(splat(26), _mm256_srli_epi16(over, 11));
    return choose_at_least(s, splat(-32768), _mm256_max_epi16(steep, flat), near);
}

// What a term t adds when it is taken out of the sum: (t 2^zeros slope) / 2^16.
inline V slope(const Logarithm &of) {
    const V inverse = _mm256_sub_epi16(_mm256_sub_epi16(splat(256), of.part), _mm256_srli_epi16(of.bow, 11));
    const V scaled = _mm256_add_epi16(inverse, _mm256_srli_epi16(_mm256_mullo_epi16(inverse, splat(113)), 8));
    return _mm256_mulhi_epu16(scaled, _mm256_sub_epi16(splat(-1), of.s));
}

inline Index rotated(Index lane, Int shift, Index lift) {
    const Index at = lane + shift;
    return at >= lift ? at - lift : at;
}

Index row(Short *__restrict posterior, Short *__restrict messages, const Int *__restrict column,
          const Int *__restrict shift, Index weight, Index lift, const Short *__restrict signs,
          Short *__restrict incoming) {
    const Index stride = lift + LANES, half = weight * LANES;
    Index wrong = 0;
    for (Index lane = 0; lane < lift; lane += LANES) {
        Short *here = messages + lane * weight;
        V sign = load(signs + lane), parity = sign;
        V rest = _mm256_setzero_si256(), t1 = rest, t2 = rest;
        for (Index edge = 0; edge < weight; ++edge) {
            const Short *at = posterior + column[edge] * stride + rotated(lane, shift[edge], lift);
            const V before = load(at);
            __builtin_prefetch(at + AHEAD, 1, 3);
            const V value = _mm256_subs_epi16(before, load(here + edge * LANES));
            parity = _mm256_xor_si256(parity, before);
            sign = _mm256_xor_si256(sign, value);
            const V t = phi(_mm256_abs_epi16(value));
            store(incoming + edge * LANES, value);
            store(incoming + half + edge * LANES, t);
            rest = _mm256_adds_epu16(rest, _mm256_min_epu16(t, t2));
            t2 = _mm256_max_epu16(t2, _mm256_min_epu16(t1, t));
            t1 = _mm256_max_epu16(t1, t);
        }
        wrong += negatives(parity);
        const V with_second = _mm256_adds_epu16(rest, t2);
        const Logarithm total(_mm256_adds_epu16(with_second, t1));
        const V of_all = phi_back(total), steepness = slope(total);
        const V power = power_of_two(_mm256_sub_epi16(splat(142), _mm256_srli_epi16(total.log, 7)));
        const V without_first = phi_back(Logarithm(with_second));
        const V without_second = phi_back(Logarithm(_mm256_adds_epu16(rest, t1)));
        for (Index edge = 0; edge < weight; ++edge) {
            const V value = load(incoming + edge * LANES), t = load(incoming + half + edge * LANES);
            const V own = _mm256_mulhi_epu16(_mm256_mullo_epi16(t, power), steepness);
            const V without = choose_at_least(t, t2, without_second, _mm256_add_epi16(of_all, own));
            const V size = choose_at_least(t, t1, without_first, without);
            const V message = _mm256_sign_epi16(size, _mm256_or_si256(_mm256_xor_si256(sign, value), splat(1)));
            store(here + edge * LANES, message);
            store(posterior + column[edge] * stride + rotated(lane, shift[edge], lift),
                  _mm256_adds_epi16(value, message));
        }
    }
    const V lanes = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (Index edge = 0; edge < weight; ++edge) {
        Short *head = posterior + column[edge] * stride, *tail = head + lift;
        const V below = _mm256_cmpgt_epi16(splat(shift[edge] % LANES), lanes);
        const V whole = _mm256_blendv_epi8(load(head), load(tail), below);
        store(head, whole);
        store(tail, whole);
    }
    return wrong;
}

Index unsatisfied(const Short *__restrict posterior, const Int *__restrict row_start, Index rows,
                  const Int *__restrict column, const Int *__restrict shift, Index lift,
                  const Short *__restrict signs) {
    const Index stride = lift + LANES;
    Index wrong = 0;
    for (Index r = 0; r < rows; ++r) {
        for (Index lane = 0; lane < lift; lane += LANES) {
            V parity = load(signs + r * lift + lane);
            for (Index edge = row_start[r]; edge < row_start[r + 1]; ++edge) {
                parity = _mm256_xor_si256(
                    parity, load(posterior + column[edge] * stride + rotated(lane, shift[edge], lift)));
            }
            wrong += negatives(parity);
        }
    }
    return wrong;
}

}  // namespace

// Whether AVX-512 is in use.
extern "C" int wide_masks() { return WIDE_MASKS; }

// Arguments, result and all that is left in the arrays: as of satqkd.kernels.ldpc.sweeps.
extern "C" Index sweeps(Short *posterior, Short *messages, const Int *row_start, Index rows, const Int *column,
                        const Int *shift, Index lift, const Short *signs, Short *incoming, Index max_iterations,
                        Index patience) {
    const Index checks = rows * lift;
    if (unsatisfied(posterior, row_start, rows, column, shift, lift, signs) == 0) return 0;
    Index fewest = checks + 1, since = 0;
    for (Index iteration = 1; iteration <= max_iterations; ++iteration) {
        Index wrong = 0;
        for (Index r = 0; r < rows; ++r) {
            const Index first = row_start[r];
            wrong += row(posterior, messages + first * lift, column + first, shift + first, row_start[r + 1] - first,
                         lift, signs + r * lift, incoming);
        }
        if (wrong * 32 < checks) {
            wrong = unsatisfied(posterior, row_start, rows, column, shift, lift, signs);
            if (wrong == 0) return iteration;
        }
        if (wrong < fewest) {
            fewest = wrong;
            since = iteration;
        } else if (iteration - since >= patience) {
            return -1 - iteration;
        }
    }
    return -1 - max_iterations;
}
