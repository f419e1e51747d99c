//! Functions of one number, and the operators of two.

use std::f64::consts::PI;

use crate::promql::parse::ast::BinaryOp;

/// The function of one number with that name.
pub(crate) fn of_one(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |v| v * 180.0 / PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |v| v * PI / 180.0,
        "sgn" => sign,
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

/// -1, 0 or 1; NaN and zeros stay what they are.
fn sign(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// `value` rounded to a multiple of `nearest`, halves up.
pub(crate) fn round(value: f64, nearest: f64) -> f64 {
    let inverse = 1.0 / nearest;
    (value * inverse + 0.5).floor() / inverse
}

/// `value` held between two bounds; NaN stays NaN, and a NaN bound makes everything NaN but an infinity that it cannot
/// change.
pub(crate) fn clamp(value: f64, min: f64, max: f64) -> f64 {
    larger(min, smaller(max, value))
}

/// The smaller of two, as Go has it: negative infinity if one is, else NaN if one is; -0 below 0.
pub(crate) fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

/// The larger of two, as Go has it: infinity if one is, else NaN if one is; 0 above -0.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// What an arithmetic operator makes of two numbers; `None` for other operators.
pub(crate) fn arithmetic(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => |a, b| a % b,
        BinaryOp::Pow => power,
        BinaryOp::Atan2 => f64::atan2,
        _ => return None,
    })
}

/// As Go's `math.Pow`.
fn power(a: f64, b: f64) -> f64 {
    a.powf(b)
}

/// Whether a comparison holds; `None` for other operators.
pub(crate) fn comparison(op: BinaryOp) -> Option<fn(f64, f64) -> bool> {
    Some(match op {
        BinaryOp::Equal => |a, b| a == b,
        BinaryOp::NotEqual => |a, b| a != b,
        BinaryOp::Less => |a, b| a < b,
        BinaryOp::LessEqual => |a, b| a <= b,
        BinaryOp::Greater => |a, b| a > b,
        BinaryOp::GreaterEqual => |a, b| a >= b,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_of_functions() {
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert_eq!(round(0.16, 0.1), 0.2);
        assert_eq!(clamp(5.0, 0.0, 3.0), 3.0);
        assert!(clamp(f64::NAN, 0.0, 3.0).is_nan() && clamp(1.0, f64::NAN, 3.0).is_nan());
        assert_eq!(clamp(f64::INFINITY, f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(
            (larger(f64::NAN, 1.0).is_nan(), smaller(f64::NEG_INFINITY, f64::NAN)),
            (true, f64::NEG_INFINITY)
        );
        assert!(smaller(0.0, -0.0).is_sign_negative() && larger(-0.0, 0.0).is_sign_positive());
        assert!(
            of_one("sgn").is_some_and(|f| f(-0.0).to_bits() == (-0.0_f64).to_bits() && f(f64::NAN).is_nan())
        );
        assert!(of_one("rate").is_none());
    }

    #[test]
    fn operators() {
        assert_eq!(arithmetic(BinaryOp::Mod).map(|f| f(-7.0, 4.0)), Some(-3.0));
        assert!(arithmetic(BinaryOp::Div).is_some_and(|f| f(0.0, 0.0).is_nan()));
        assert_eq!(comparison(BinaryOp::Equal).map(|f| f(f64::NAN, f64::NAN)), Some(false));
        assert!(arithmetic(BinaryOp::And).is_none() && comparison(BinaryOp::Add).is_none());
    }
}
