//! The drawing of a fit: where devices landed beside what laws expect.

use super::scale::Scale;
use super::svg::{Colour, Sheet, Svg};
use crate::fit::laws::Fitted;
use crate::fit::{Fit, word};
use crate::numeric::stats::normal_below;

/// Pixels of the drawing.
const SIZE: [f64; 2] = [920.0, 430.0];
/// Top and bottom of both frames.
const FRAME: [f64; 2] = [48.0, 360.0];
/// Laws that are drawn, the best first.
const LAWS: usize = 4;
/// Devices of a curve, at most.
const MARKS: usize = 400;

/// The drawing of a fit as an SVG file of two charts: standard deviations by target, and how many deviations devices
/// are from what each law expects beside how many those of the law would be.
///
/// # Examples
/// ```
/// # use crosspike::{Measured, Measurement};
/// # let read = |i: usize| {
/// #     let target_us = if i % 4 < 2 { 10.0 } else { 40.0 };
/// #     Measurement { target_us, read_us: target_us * if i % 2 == 0 { 1.1 } else { 0.9 }, time_s: 0.0, device: i }
/// # };
/// # let measured = Measured::of("two levels", (0..40).map(read).collect(), false)?;
/// let svg = crosspike::draw_fit(&crosspike::Fit::of(&measured)?);
/// assert!(svg.starts_with("<svg") && svg.contains("Devices of two levels"));
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn fitted(fit: &Fit) -> String {
    let mut svg = Svg::sized(Sheet::File, SIZE);
    let laws = &fit.laws[..fit.laws.len().min(LAWS)];
    spreads(&mut svg, fit, laws);
    quantiles(&mut svg, fit, laws);
    let description = laws.iter().map(said).collect::<Vec<_>>().join("; ");
    svg.finish(&format!("Devices of {} and the laws that were fitted to them", fit.source), &description)
}

fn said(fitted: &Fitted) -> String {
    format!("{} ({})", word(&fitted.law.kind), fitted.law.key)
}

/// The standard deviation of a law in microsiemens at a target.
fn sigma_us(fitted: &Fitted, target: f64) -> f64 {
    let [mean, sigma] = fitted.law.moments(target);
    // A lognormal's σ is that of ln g: its conductance has this one.
    if fitted.law.is_of_logarithms() {
        (mean + sigma * sigma / 2.0).exp() * ((sigma * sigma).exp() - 1.0).sqrt()
    } else {
        sigma
    }
}

/// Standard deviations by target, measured about the target and expected.
fn spreads(svg: &mut Svg, fit: &Fit, laws: &[Fitted]) {
    let [top, bottom] = FRAME;
    let (left, right) = (80.0, 430.0);
    let measured = |target: &f64| {
        let off: Vec<f64> =
            fit.landed.iter().filter(|device| device.0 == *target).map(|device| device.1 - target).collect();
        (*target, (off.iter().map(|x| x * x).sum::<f64>() / off.len() as f64).sqrt(), off.len())
    };
    let groups: Vec<(f64, f64, usize)> = fit.targets.iter().map(measured).filter(|group| group.2 > 4).collect();
    let (least, most) = (fit.targets[0], fit.targets[fit.targets.len() - 1]);
    let at = |i: usize| least + (most - least) * i as f64 / 100.0;
    let expected = laws.iter().flat_map(|law| (0..=100).map(move |i| sigma_us(law, at(i))));
    let high = groups.iter().map(|group| group.1).chain(expected).filter(|sigma| sigma.is_finite()).fold(0.0, f64::max);
    let x = Scale::new([least, most], [left, right], 6.0, false);
    let y = Scale::new([0.0, 1.1 * high], [bottom, top], 6.0, false);
    svg.axes([left, right, top, bottom], (&x, "Target (µS)"), (&y, "Standard deviation (µS)"));
    for (series, law) in laws.iter().enumerate() {
        let points: Vec<[f64; 2]> = (0..=100).map(at).map(|g| [x.place(g), y.place(sigma_us(law, g))]).collect();
        svg.path(&points, Colour::Series(series));
        let row = top - 30.0 + 15.0 * (series / 2) as f64;
        let column = left + 175.0 * (series % 2) as f64;
        svg.line([column, row - 4.0], [column + 18.0, row - 4.0], Colour::Series(series), 2.5, "");
        svg.text([column + 24.0, row], "start", Colour::Text, &said(law), "");
    }
    for (target, sigma, count) in groups {
        svg.titled(&format!("{target} µS: {sigma:.4} µS of {count} devices"), |svg| {
            svg.dot([x.place(target), y.place(sigma)])
        });
    }
}

/// Deviations that devices have beside those that a normal distribution has.
fn quantiles(svg: &mut Svg, fit: &Fit, laws: &[Fitted]) {
    let [top, bottom] = FRAME;
    let (left, right) = (550.0, 900.0);
    let x = Scale::new([-4.0, 4.0], [left, right], 8.0, true);
    let y = Scale::new([-6.0, 6.0], [bottom, top], 12.0, true);
    svg.axes([left, right, top, bottom], (&x, "Expected deviation (σ)"), (&y, "Deviation of devices (σ)"));
    svg.line(
        [x.place(-4.0), y.place(-4.0)],
        [x.place(4.0), y.place(4.0)],
        Colour::Muted,
        1.0,
        "stroke-dasharray=\"5 4\"",
    );
    for (series, law) in laws.iter().enumerate() {
        let mut deviations: Vec<f64> = fit.landed.iter().map(|device| law.law.deviation(*device)).collect();
        deviations.sort_by(f64::total_cmp);
        let every = deviations.len().div_ceil(MARKS);
        let place = |(i, deviation): (usize, &f64)| {
            let expected = normal_quantile((i as f64 + 0.5) / deviations.len() as f64);
            [x.place(expected.clamp(-4.0, 4.0)), y.place(deviation.clamp(-6.0, 6.0))]
        };
        let points: Vec<[f64; 2]> = deviations.iter().enumerate().step_by(every).map(place).collect();
        svg.path(&points, Colour::Series(series));
    }
}

/// The deviation below which a share of a normal distribution lies, by halves of the interval that holds it.
fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if normal_below(middle) < share { low = middle } else { high = middle }
    }
    low
}
