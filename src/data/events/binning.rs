//! How the events of a recording become frames: counts of events by step, polarity and pixel.

use super::super::spec::Spec;
use crate::error::Result;
use crate::memory;
use crate::numeric::Shape;

/// The most steps of a series.
const MOST_STEPS: usize = 1 << 16;

/// A change of brightness at a pixel, or a spike of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// When, in microseconds.
    pub time_us: i64,
    /// Where: the column.
    pub x: u16,
    /// Where: the row.
    pub y: u16,
    /// 1 where it became brighter, else 0.
    pub polarity: u8,
}

/// How a recording is cut into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StepCut {
    /// Steps of equal time, from the first to the last event; the last one has the rest.
    Time,
    /// Steps of equal numbers of events; the last one has the rest.
    Count,
    /// Steps of so many microseconds from the first event, or from a time, on; what comes behind the last one is left
    /// out.
    Window { step_us: i64, start_us: Option<i64> },
}

/// What is done to the events of every recording of a set.
#[derive(Clone, Debug)]
pub(super) struct Binning {
    /// Number of steps.
    pub steps: usize,
    cut: StepCut,
    /// The sensor: polarities, rows and columns.
    sensor: Shape,
    /// The first row and column that are kept.
    corner: [usize; 2],
    /// Rows and columns that are added up into one.
    factors: [usize; 2],
    /// Rows and columns of a frame, also of a line, whose columns are channels.
    kept: [usize; 2],
    /// The shape of a frame.
    pub shape: Shape,
    /// The greatest count of a pixel; more is that.
    most: Option<u16>,
}

/// The frames of a recording, and what is not in them.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// `[T, C, H, W]`.
    pub counts: Vec<u16>,
    /// Events beside the part of the sensor that is kept.
    pub beside: usize,
    /// Events before the first step and behind the last.
    pub outside: usize,
}

impl Binning {
    /// What a data set's options ask for of a sensor; of a line of channels, `is_line`, `crop` and `downscale` mean
    /// channels, and time starts at 0.
    pub fn of(spec: &mut Spec, sensor: Shape, is_line: bool) -> Result<Self> {
        let steps = spec.count_of("steps", MOST_STEPS)?;
        let by = spec.text_of("by");
        let step_us = spec.count_of("step_us", 1 << 40)?;
        let start_us = spec.value_of::<i64>("start_us", "microseconds, a whole number")?;
        let cut = match (by, step_us) {
            (None, Some(step_us)) => {
                StepCut::Window { step_us: step_us as i64, start_us: start_us.or(is_line.then_some(0)) }
            }
            (Some(_), Some(_)) => {
                return Err(spec.refuse("by", "cuts another way than `step_us`; expected one of them"));
            }
            (None | Some("time"), None) => StepCut::Time,
            (Some("count"), None) => StepCut::Count,
            (Some(other), None) => return Err(spec.refuse("by", format!("`{other}`; expected time or count"))),
        };
        if start_us.is_some() && step_us.is_none() {
            return Err(spec.refuse("start_us", "is where steps of `step_us` start; expected both"));
        }
        let most = spec.count_of("most", usize::from(u16::MAX))?.map(|most| most as u16);
        let (corner, kept, factors) = part(spec, sensor, is_line)?;
        let Some(steps) = steps else {
            return Err(spec.refuse("steps", "is missing; expected the model's number of steps, `?steps=8`"));
        };
        let kept = [kept[0] / factors[0], kept[1] / factors[1]];
        let shape = Shape { channels: sensor.channels, height: kept[0], width: kept[1] };
        // The channels of a line are channels of the frame.
        let shape = if is_line { Shape { channels: shape.width, height: 1, width: 1 } } else { shape };
        let bytes = (2 * steps as u64).saturating_mul(shape.len() as u64);
        memory::check(
            &format!("a series of {steps} frames of {shape}"),
            bytes,
            "take fewer steps, `crop` or `downscale`",
        )?;
        Ok(Binning { steps, cut, sensor, corner, factors, kept, shape, most })
    }

    /// The frames of events, which are sorted by their time first where they are not.
    ///
    /// # Errors
    /// Where an event lies outside the sensor.
    pub fn frames(&self, mut events: Vec<Event>) -> std::result::Result<Frames, String> {
        let Shape { channels, height, width } = self.sensor;
        let is_there = |event: &Event| {
            usize::from(event.x) < width && usize::from(event.y) < height && usize::from(event.polarity) < channels
        };
        if let Some(at) = events.iter().position(|event| !is_there(event)) {
            let Event { x, y, polarity, .. } = events[at];
            return Err(format!(
                "event {at} is at column {x}, row {y}, polarity {polarity}; expected them below {width}, {height} and \
                 {channels}"
            ));
        }
        events.sort_by_key(|event| event.time_us);
        let per_channel = self.kept[0] * self.kept[1];
        let per_step = channels * per_channel;
        let mut frames = Frames { counts: vec![0; self.steps * per_step], ..Frames::default() };
        for (at, event) in events.iter().enumerate() {
            let Some(step) = self.step(&events, at) else {
                frames.outside += 1;
                continue;
            };
            let Some(pixel) = self.pixel(event) else {
                frames.beside += 1;
                continue;
            };
            let place = step * per_step + usize::from(event.polarity) * per_channel + pixel;
            let count = &mut frames.counts[place];
            if self.most != Some(*count) {
                *count = count
                    .checked_add(1)
                    .ok_or("more than 65535 events of one pixel in one step; expected more steps")?;
            }
        }
        Ok(frames)
    }

    /// The pixel of a frame that an event falls on.
    fn pixel(&self, event: &Event) -> Option<usize> {
        let [height, width] = self.kept;
        let row = usize::from(event.y).checked_sub(self.corner[0])? / self.factors[0];
        let column = usize::from(event.x).checked_sub(self.corner[1])? / self.factors[1];
        (row < height && column < width).then_some(row * width + column)
    }

    /// The step that event `at` of a recording in order falls into.
    fn step(&self, events: &[Event], at: usize) -> Option<usize> {
        let (time, last) = (events[at].time_us, self.steps - 1);
        let first = events[0].time_us;
        match self.cut {
            StepCut::Time => {
                let step_us = (events[events.len() - 1].time_us - first) / self.steps as i64;
                let step = (time - first).checked_div(step_us).map_or(last, |step| step as usize);
                Some(step.min(last))
            }
            StepCut::Count => Some(at.checked_div(events.len() / self.steps).unwrap_or(last).min(last)),
            StepCut::Window { step_us, start_us } => {
                let step = time.checked_sub(start_us.unwrap_or(first))?.div_euclid(step_us);
                usize::try_from(step).ok().filter(|step| *step < self.steps)
            }
        }
    }
}

/// The first row and column, the rows and columns that are kept, and how many of them are added up, as `crop` and
/// `downscale` say.
fn part(spec: &mut Spec, sensor: Shape, is_line: bool) -> Result<([usize; 2], [usize; 2], [usize; 2])> {
    let whole = [sensor.height, sensor.width];
    let (crop, factor) = (spec.size_of("crop", 1 << 16)?, spec.count_of("downscale", 1 << 16)?.unwrap_or(1));
    let crop = crop.map(|[height, width]| if is_line { [1, width] } else { [height, width] });
    let (kept, factors) = (crop.unwrap_or(whole), if is_line { [1, factor] } else { [factor; 2] });
    if kept[0] > whole[0] || kept[1] > whole[1] {
        let [height, width] = whole;
        return Err(
            spec.refuse("crop", format!("{}x{}; the sensor has {height} rows and {width} columns", kept[0], kept[1]))
        );
    }
    if kept[0] % factors[0] != 0 || kept[1] % factors[1] != 0 {
        let [height, width] = kept;
        return Err(spec.refuse(
            "downscale",
            format!("{factor} does not divide {height} rows and {width} columns; `crop` makes them fit"),
        ));
    }
    Ok(([0, 1].map(|side| (whole[side] - kept[side]) / 2), kept, factors))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENSOR: Shape = Shape { channels: 2, height: 4, width: 6 };

    fn binning(options: &str) -> Binning {
        Binning::of(&mut Spec::parse(&format!("events:x?{options}")).unwrap(), SENSOR, false).unwrap()
    }

    fn at(time_us: i64, x: u16, y: u16, polarity: u8) -> Event {
        Event { time_us, x, y, polarity }
    }

    /// Events of each step, at the times 0, 10, 20, 35 and 99.
    fn steps(options: &str) -> Vec<u16> {
        let binning = binning(options);
        let frames = binning.frames([35, 0, 10, 20, 99].map(|time| at(time, 0, 0, 0)).to_vec()).unwrap();
        let per_step = frames.counts.len() / binning.steps;
        frames.counts.chunks(per_step).map(|frame| frame.iter().sum()).collect()
    }

    #[test]
    fn recordings_are_cut_by_time_count_and_window() {
        assert_eq!(steps("steps=2"), [4, 1]);
        assert_eq!(steps("steps=3&by=time"), [3, 1, 1]);
        assert_eq!(steps("steps=2&by=count"), [2, 3]);
        assert_eq!(steps("steps=7&by=count"), [0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(steps("steps=3&step_us=15"), [2, 1, 1]);
        assert_eq!(steps("steps=3&step_us=15&start_us=20"), [1, 1, 0]);
        assert_eq!(steps("steps=3&step_us=10&start_us=-10"), [0, 1, 1]);
        let frames = binning("steps=3&step_us=15&start_us=20").frames(vec![at(0, 0, 0, 0), at(65, 0, 0, 0)]).unwrap();
        assert_eq!((frames.outside, frames.beside), (2, 0));
        assert_eq!(binning("steps=4").frames(vec![]).unwrap().counts, [0; 4 * 48]);
    }

    #[test]
    fn pixels_are_cropped_added_up_and_limited() {
        let events = vec![at(0, 1, 0, 1), at(0, 2, 1, 1), at(0, 3, 1, 1), at(0, 5, 3, 0), at(0, 0, 0, 0)];
        let frames = binning("steps=1&crop=4x4&downscale=2").frames(events.clone()).unwrap();
        assert_eq!(frames.counts, [0, 0, 0, 0, 2, 1, 0, 0]);
        assert_eq!(frames.beside, 2);
        let frames = binning("steps=1&crop=4x4&downscale=2&most=1").frames(events).unwrap();
        assert_eq!(frames.counts, [0, 0, 0, 0, 1, 1, 0, 0]);
        assert!(binning("steps=1").frames(vec![at(0, 6, 0, 0)]).unwrap_err().contains("column 6"));
        assert!(binning("steps=1").frames(vec![at(0, 0, 0, 2)]).is_err());
    }

    #[test]
    fn a_sensor_may_be_a_pixel_or_a_line() {
        for (sensor, options, counts) in
            [([1, 1], "steps=2", vec![1, 0, 0, 1]), ([1, 4], "steps=1&crop=1x2&downscale=1", vec![0, 0, 0, 0])]
        {
            let sensor = Shape { channels: 2, height: sensor[0], width: sensor[1] };
            let binning =
                Binning::of(&mut Spec::parse(&format!("events:x?{options}")).unwrap(), sensor, false).unwrap();
            assert_eq!(binning.frames(vec![at(0, 0, 0, 0), at(9, 0, 0, 1)]).unwrap().counts, counts);
        }
    }
}
