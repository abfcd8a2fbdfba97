//! Surrogate gradients: what stands for ∂spike/∂v, v = (u − θ)/θ, on the way back.
//!
//! | kind | ∂spike/∂v, w the width |
//! |---|---|
//! | `triangle` | 0.3·max(0, 1 − |v|/w) (BNTT, arXiv:2010.01729) |
//! | `arctan` | 1/w / (1 + (π·v/w)²): SpikingJelly's ATan of α = 2/w |
//! | `sigmoid` | k·s·(1 − s), s = 1/(1 + exp(−k·v)), k = 4/w: SpikingJelly's Sigmoid of α = 4/w |
//! | `rectangle` | 1/w where |v| < w/2 |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Height of the triangle.
const HEIGHT: f32 = 0.3;

/// A surrogate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Surrogate {
    /// Its shape.
    pub kind: SurrogateKind,
    /// Its width in thresholds.
    pub width: f32,
}

/// The shape of a surrogate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SurrogateKind {
    /// 0.3·max(0, 1 − |v|/width).
    #[default]
    Triangle,
    /// 1/width / (1 + (π·v/width)²).
    Arctan,
    /// The slope of a sigmoid of steepness 4/width.
    Sigmoid,
    /// 1/width where |v| is below half of it.
    Rectangle,
}

impl Default for Surrogate {
    fn default() -> Self {
        Surrogate { kind: SurrogateKind::default(), width: 1.0 }
    }
}

impl Surrogate {
    /// ∂spike/∂u at v, where v grows with u by `inverse`.
    #[inline(always)]
    pub fn slope(&self, v: f32, inverse: f32) -> f32 {
        match self.kind {
            SurrogateKind::Triangle => self.triangle(v, inverse),
            SurrogateKind::Arctan => self.arctan(v, inverse),
            SurrogateKind::Sigmoid => self.sigmoid(v, inverse),
            SurrogateKind::Rectangle => self.rectangle(v, inverse),
        }
    }

    #[inline(always)]
    pub(super) fn triangle(&self, v: f32, inverse: f32) -> f32 {
        HEIGHT * inverse * (1.0 - (v / self.width).abs()).max(0.0)
    }

    /// The triangle of width 1, without a division.
    #[inline(always)]
    pub(super) fn unit_triangle(v: f32, inverse: f32) -> f32 {
        HEIGHT * inverse * (1.0 - v.abs()).max(0.0)
    }

    #[inline(always)]
    pub(super) fn arctan(&self, v: f32, inverse: f32) -> f32 {
        let x = std::f32::consts::PI * (v / self.width);
        inverse / self.width / (1.0 + x * x)
    }

    #[inline(always)]
    pub(super) fn sigmoid(&self, v: f32, inverse: f32) -> f32 {
        let s = 1.0 / (1.0 + libm::expf(-4.0 * (v / self.width)));
        4.0 / self.width * inverse * (s * (1.0 - s))
    }

    #[inline(always)]
    pub(super) fn rectangle(&self, v: f32, inverse: f32) -> f32 {
        if (v / self.width).abs() < 0.5 { inverse / self.width } else { 0.0 }
    }
}

/// A value made with the surrogate's slope, once for each kind, so that compilers vectorise the loops in which the
/// slope stands.
macro_rules! with_slope {
    ($surrogate:expr, $slope:ident => $value:expr) => {{
        let surrogate: $crate::train::surrogate::Surrogate = $surrogate;
        match surrogate.kind {
            $crate::train::surrogate::SurrogateKind::Triangle if surrogate.width == 1.0 => {
                let $slope = |v, inverse| $crate::train::surrogate::Surrogate::unit_triangle(v, inverse);
                $value
            }
            $crate::train::surrogate::SurrogateKind::Triangle => {
                let $slope = |v, inverse| surrogate.triangle(v, inverse);
                $value
            }
            $crate::train::surrogate::SurrogateKind::Arctan => {
                let $slope = |v, inverse| surrogate.arctan(v, inverse);
                $value
            }
            $crate::train::surrogate::SurrogateKind::Sigmoid => {
                let $slope = |v, inverse| surrogate.sigmoid(v, inverse);
                $value
            }
            $crate::train::surrogate::SurrogateKind::Rectangle => {
                let $slope = |v, inverse| surrogate.rectangle(v, inverse);
                $value
            }
        }
    }};
}
pub(super) use with_slope;
