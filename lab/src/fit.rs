//! Lines through points, by least squares.

use serde_json::{Value, json};

/// `y = offset + slope * x`, and how much of the variance it explains (1 is all).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) offset: f64,
    pub(crate) slope: f64,
    pub(crate) r_squared: f64,
}

/// The line through `points`; none through fewer than two different x.
pub(crate) fn line(points: &[(f64, f64)]) -> Option<Line> {
    let count = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let of = |value: fn(f64, f64) -> f64| -> f64 {
        let parts = points.iter().map(|point| value(point.0 - x, point.1 - y));
        parts.sum()
    };
    let (xx, xy, yy) = (of(|x, _| x * x), of(|x, y| x * y), of(|_, y| y * y));
    if points.len() < 2 || xx <= f64::EPSILON {
        return None;
    }
    let slope = xy / xx;
    let r_squared = if yy <= f64::EPSILON {
        1.0
    } else {
        slope * xy / yy
    };
    Some(Line {
        offset: y - slope * x,
        slope,
        r_squared,
    })
}

/// How a figure grows with the number of nodes: as a power of it, and with its logarithm.
pub(crate) fn growth(points: &[(f64, f64)]) -> Value {
    let of = |pick: fn(&(f64, f64)) -> (f64, f64)| {
        let points: Vec<_> = points.iter().map(pick).collect();
        line(&points)
    };
    let power = of(|(n, y)| (n.ln(), y.max(f64::MIN_POSITIVE).ln()));
    let log = of(|(n, y)| (n.ln(), *y));
    json!({
        "power": power.map(|fit| json!({
            "formula": format!("{:.4} * n^{:.3}", fit.offset.exp(), fit.slope),
            "r_squared": fit.r_squared,
        })),
        "logarithm": log.map(|fit| json!({
            "formula": format!("{:.4} + {:.4} * ln(n)", fit.offset, fit.slope),
            "r_squared": fit.r_squared,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_what_is_none_is_not() {
        let points: Vec<_> = (1..5)
            .map(|x| (f64::from(x), 3.0 - 2.0 * f64::from(x)))
            .collect();
        let fit = line(&points).unwrap();
        assert!((fit.offset - 3.0).abs() < 1e-9 && (fit.slope + 2.0).abs() < 1e-9);
        assert!((fit.r_squared - 1.0).abs() < 1e-9);
        assert!(line(&points[..1]).is_none() && line(&[(1.0, 1.0), (1.0, 2.0)]).is_none());
    }

    #[test]
    fn a_square_grows_with_power_two() {
        let points: Vec<_> = [1.0, 10.0, 100.0].map(|n| (n, 5.0 * n * n)).to_vec();
        let growth = growth(&points);
        assert_eq!(growth["power"]["formula"], "5.0000 * n^2.000");
    }
}
