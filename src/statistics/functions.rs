//! Functions on the unit cube whose sensitivities are known in closed form, for tests.

use std::f64::consts::PI;

const A: f64 = 7.0;
const B: f64 = 0.1;

/// Ishigami's function with a = 7, b = 0.1; its arguments run from -pi to pi.
pub(super) fn ishigami(u: &[f64]) -> f64 {
    let x = |place: usize| PI * (2.0 * u[place] - 1.0);
    let sine = libm::sin(x(1));
    let third = x(2) * x(2);
    libm::sin(x(0)) * (1.0 + B * third * third) + A * sine * sine
}

/// (first, total) by factor of [`ishigami`]: Saltelli and others, "Global Sensitivity Analysis" (2008), section 4.9.
pub(super) fn ishigami_indices() -> Vec<(f64, f64)> {
    let pi4 = PI * PI * PI * PI;
    let first = 0.5 * (1.0 + B * pi4 / 5.0) * (1.0 + B * pi4 / 5.0);
    let second = A * A / 8.0;
    let together = B * B * pi4 * pi4 * (1.0 / 18.0 - 1.0 / 50.0);
    let all = first + second + together;
    vec![(first / all, (first + together) / all), (second / all, second / all), (0.0, together / all)]
}

/// Sobol's g-function: the product of (|4 u - 2| + a) / (1 + a).
pub(super) fn g_function(u: &[f64], a: &[f64]) -> f64 {
    u.iter().zip(a).map(|(u, a)| ((4.0 * u - 2.0).abs() + a) / (1.0 + a)).product()
}

/// (first, total) by factor of [`g_function`].
pub(super) fn g_indices(a: &[f64]) -> Vec<(f64, f64)> {
    let part = |a: &f64| 1.0 / (3.0 * (1.0 + a) * (1.0 + a));
    let product: f64 = a.iter().map(|a| 1.0 + part(a)).product();
    let all = product - 1.0;
    a.iter().map(|a| (part(a) / all, part(a) * product / (1.0 + part(a)) / all)).collect()
}
