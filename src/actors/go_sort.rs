//! The order in which Go's `sort.Slice` leaves a list. It is not stable, but depends on nothing except the list, so
//! that claims with equally many pods, or victims of one age, stand in one definite order.
//!
//! A pattern-defeating quicksort; the same choices of pivots and the same exchanges as Go's, go1.22 to go1.26.

use std::cmp::Ordering;

/// Lists this short are sorted by insertion, which keeps equal ones in order.
const INSERTION: usize = 12;
/// From this length on pivots are medians of medians, and nearly sorted lists are mended by shifting.
const LONG: usize = 50;

/// What the look for a pivot says of the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

pub fn sort<T>(list: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let limit = usize::BITS - list.len().leading_zeros();
    let end = list.len();
    Sorter { list, less }.quick(0, end, limit);
}

struct Sorter<'a, T, F> {
    list: &'a mut [T],
    less: F,
}

impl<T, F: Fn(&T, &T) -> bool> Sorter<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.list[a], &self.list[b])
    }

    fn insertion(&mut self, from: usize, to: usize) {
        for at in from + 1..to {
            let mut place = at;
            while place > from && self.less(place, place - 1) {
                self.list.swap(place, place - 1);
                place -= 1;
            }
        }
    }

    fn sift_down(&mut self, mut root: usize, to: usize, first: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= to {
                return;
            }
            if child + 1 < to && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.list.swap(first + root, first + child);
            root = child;
        }
    }

    fn heap(&mut self, from: usize, to: usize) {
        let length = to - from;
        (0..=(length - 1) / 2).rev().for_each(|root| self.sift_down(root, length, from));
        for last in (0..length).rev() {
            self.list.swap(from, from + last);
            self.sift_down(0, last, from);
        }
    }

    fn quick(&mut self, mut from: usize, mut to: usize, mut limit: u32) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let length = to - from;
            if length <= INSERTION {
                return self.insertion(from, to);
            }
            if limit == 0 {
                return self.heap(from, to);
            }
            if !balanced {
                self.break_patterns(from, to);
                limit -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(from, to);
            if hint == Hint::Decreasing {
                self.list[from..to].reverse();
                pivot = (to - 1) - (pivot - from);
                hint = Hint::Increasing;
            }
            if balanced && partitioned && hint == Hint::Increasing && self.mend(from, to) {
                return;
            }
            // All before are smaller or equal: if the one before equals the pivot, so do many here.
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.part_equal(from, to, pivot);
                continue;
            }
            let (middle, already) = self.part(from, to, pivot);
            partitioned = already;
            let (left, right) = (middle - from, to - middle);
            balanced = left.min(right) >= length / 8;
            if left < right {
                self.quick(from, middle, limit);
                from = middle + 1;
            } else {
                self.quick(middle + 1, to, limit);
                to = middle;
            }
        }
    }

    /// Smaller ones to the left of the pivot's new place, the others to its right; was it so already?
    fn part(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.list.swap(from, pivot);
        let (mut left, mut right) = (from + 1, to - 1);
        let mut exchanged = false;
        loop {
            while left <= right && self.less(left, from) {
                left += 1;
            }
            while left <= right && !self.less(right, from) {
                right -= 1;
            }
            if left > right {
                self.list.swap(right, from);
                return (right, !exchanged);
            }
            self.list.swap(left, right);
            exchanged = true;
            left += 1;
            right -= 1;
        }
    }

    /// Those equal to the pivot to the left, greater ones to the right; returns where these begin.
    fn part_equal(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.list.swap(from, pivot);
        let (mut left, mut right) = (from + 1, to - 1);
        loop {
            while left <= right && !self.less(from, left) {
                left += 1;
            }
            while left <= right && self.less(from, right) {
                right -= 1;
            }
            if left > right {
                return left;
            }
            self.list.swap(left, right);
            left += 1;
            right -= 1;
        }
    }

    /// Tries to sort by shifting at most five; says whether the list is sorted now.
    fn mend(&mut self, from: usize, to: usize) -> bool {
        let mut at = from + 1;
        for _ in 0..5 {
            while at < to && !self.less(at, at - 1) {
                at += 1;
            }
            if at == to {
                return true;
            }
            if to - from < LONG {
                return false;
            }
            self.list.swap(at, at - 1);
            if at - from >= 2 {
                let mut place = at - 1;
                while place >= 1 && self.less(place, place - 1) {
                    self.list.swap(place, place - 1);
                    place -= 1;
                }
            }
            if to - at >= 2 {
                let mut place = at + 1;
                while place < to && self.less(place, place - 1) {
                    self.list.swap(place, place - 1);
                    place += 1;
                }
            }
        }
        false
    }

    /// Exchanges three in the middle with ones elsewhere, by numbers that depend on the length alone.
    fn break_patterns(&mut self, from: usize, to: usize) {
        let length = to - from;
        if length < 8 {
            return;
        }
        let mut random = length as u64;
        let mask = (1usize << (usize::BITS - length.leading_zeros())) - 1;
        let middle = from + length / 4 * 2;
        for at in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = random as usize & mask;
            self.list.swap(at, from + if other >= length { other - length } else { other });
        }
    }

    fn choose_pivot(&self, from: usize, to: usize) -> (usize, Hint) {
        let length = to - from;
        let mut swaps = 0;
        let [mut low, mut middle, mut high] = [1, 2, 3].map(|quarter| from + length / 4 * quarter);
        if length >= 8 {
            if length >= LONG {
                low = self.median([low - 1, low, low + 1], &mut swaps);
                middle = self.median([middle - 1, middle, middle + 1], &mut swaps);
                high = self.median([high - 1, high, high + 1], &mut swaps);
            }
            middle = self.median([low, middle, high], &mut swaps);
        }
        let hint = match swaps {
            0 => Hint::Increasing,
            12 => Hint::Decreasing,
            _ => Hint::Unknown,
        };
        (middle, hint)
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut order = |a: &mut usize, b: &mut usize| {
            if self.less(*b, *a) {
                *swaps += 1;
                std::mem::swap(a, b);
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }
}

/// [`sort`] by a key.
pub fn sort_by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    sort(list, |a, b| key(a).cmp(&key(b)) == Ordering::Less);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What go1.26 leaves of lists (key, place) of this length, the keys by the rule below: a sum over the order.
    #[test]
    fn equal_keys_end_up_where_go_leaves_them() {
        for (length, modulus, expected) in include!("go_sort_cases.rs") {
            let key = |place: u64| (place * 7_919 + place * place * 31) % modulus;
            let mut list: Vec<(u64, u64)> = (0..length).map(|place| (key(place), place)).collect();
            sort_by_key(&mut list, |(key, _)| *key);
            assert!(list.is_sorted_by_key(|(key, _)| *key));
            let sum =
                list.iter().fold(0u64, |sum, (_, place)| sum.wrapping_mul(1_000_003).wrapping_add(*place));
            assert_eq!(sum, expected, "length {length}, modulus {modulus}");
        }
    }
}
