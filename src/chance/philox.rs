//! Philox2x64-10: a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11).

const MULTIPLIER: u64 = 0xD2B7_4407_B1CE_6E93;
const WEYL: u64 = 0x9E37_79B9_7F4A_7C15;

/// The block of two words at `counter` under `key`.
pub fn philox2x64_10(counter: [u64; 2], key: u64) -> [u64; 2] {
    let ([mut left, mut right], mut key) = (counter, key);
    for _ in 0..10 {
        let product = u128::from(MULTIPLIER) * u128::from(left);
        left = (product >> 64) as u64 ^ key ^ right;
        right = product as u64;
        key = key.wrapping_add(WEYL);
    }
    [left, right]
}

#[cfg(test)]
mod tests {
    use super::philox2x64_10;

    /// The known answers of the authors' reference implementation (Random123, `kat_vectors`).
    #[test]
    fn known_answers() {
        let all = u64::MAX;
        let cases = [
            ([0; 2], 0, [0xca00_a045_9843_d731, 0x66c2_4222_c9a8_45b5]),
            ([all; 2], all, [0x65b0_21d6_0cd8_310f, 0x4d02_f322_2f86_df20]),
            (
                [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344],
                0xa409_3822_299f_31d0,
                [0x0a5e_742c_2997_341c, 0xb0f8_83d3_8000_de5d],
            ),
        ];
        for (counter, key, answer) in cases {
            assert_eq!(philox2x64_10(counter, key), answer, "counter {counter:x?}, key {key:x?}");
        }
    }
}
