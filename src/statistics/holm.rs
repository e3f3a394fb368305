//! Holm's correction for several tests (Holm 1979).

/// Adjusted p-values, in the order given: below `alpha` exactly where the step-down procedure
/// rejects at that level.
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 0.0f64;
    for (rank, &i) in order.iter().enumerate() {
        let factor = (p.len() - rank) as f64;
        least = least.max((factor * p[i]).min(1.0));
        adjusted[i] = least;
    }
    adjusted
}
