// Yardstick of benchmarks/amplification.py: rows of a Toeplitz matrix over GF(2) times a vector by PCLMULQDQ,
// Karatsuba's three products in their transposed form (Winograd; Fan and Hasan, IEEE Trans. Comput. 56, 224, 2007).
//
// With y_i = sum_t a_t d_{i+t} and the bits of a reversed within each word, one product of words gives all
// of a 64 x 64 block but what the next window adds. A matrix of halves [[D0, D1], [D1, D2]] needs three:
//   upper = (D0 + D1) a0 + D1 (a0 + a1),   lower = (D1 + D2) a1 + D1 (a0 + a1).

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace {

using Word = std::uint64_t;

inline Word middle(__m128i first, __m128i second) {
    const Word low = _mm_extract_epi64(first, 0), high = _mm_extract_epi64(first, 1);
    return ((high ^ static_cast<Word>(_mm_extract_epi64(second, 0))) << 1) | (low >> 63);
}

inline __m128i sum_of_products(const Word *d, const Word *a, std::size_t n) {
    __m128i even = _mm_setzero_si128(), odd = even;
    std::size_t t = 0;
    for (; t + 1 < n; t += 2) {
        const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i *>(d + t));
        const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i *>(a + t));
        even = _mm_xor_si128(even, _mm_clmulepi64_si128(x, y, 0x00));
        odd = _mm_xor_si128(odd, _mm_clmulepi64_si128(x, y, 0x11));
    }
    if (t < n) {
        even = _mm_xor_si128(even, _mm_clmulepi64_si128(_mm_cvtsi64_si128(d[t]), _mm_cvtsi64_si128(a[t]), 0x00));
    }
    return _mm_xor_si128(even, odd);
}

// d: 2 n words, a: n words with their bits reversed, y: n words, scratch: 4 n words.
void rows(const Word *d, const Word *a, Word *y, std::size_t n, std::size_t base, Word *scratch) {
    if (n <= base) {
        __m128i current = sum_of_products(d, a, n);
        for (std::size_t i = 0; i < n; ++i) {
            const __m128i next = sum_of_products(d + i + 1, a, n);
            y[i] = middle(current, next);
            current = next;
        }
        return;
    }
    const std::size_t half = n / 2;
    Word *sum = scratch, *both = scratch + n, *shared = both + half, *rest = shared + half;
    for (std::size_t i = 0; i < half; ++i) both[i] = a[i] ^ a[half + i];
    rows(d + half, both, shared, half, base, rest);
    for (std::size_t i = 0; i < n; ++i) sum[i] = d[i] ^ d[half + i];
    rows(sum, a, y, half, base, rest);
    for (std::size_t i = 0; i < n; ++i) sum[i] = d[half + i] ^ d[n + i];
    rows(sum, a + half, y + half, half, base, rest);
    for (std::size_t i = 0; i < half; ++i) {
        y[i] ^= shared[i];
        y[half + i] ^= shared[i];
    }
}

}  // namespace

// n: at most `base` words times a power of two.
extern "C" void toeplitz_rows(const Word *d, const Word *a, Word *y, std::size_t n, std::size_t base, Word *scratch) {
    rows(d, a, y, n, base, scratch);
}
