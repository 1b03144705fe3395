//! By which colour and letter a system is known.

use plotters::style::RGBColor;

use crate::results::{Results, Run};

/// By which colour and letter a system is known: the same in all pictures of a report. The letter is for whoever sees two
/// colours as one, or prints the page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Palette(Vec<Hue>);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hue {
    pub(super) system: String,
    pub(super) letter: char,
    pub(super) color: RGBColor,
}

impl Palette {
    /// Blue is ours, and nobody else's. Of middling lightness, for a white page and for a black one.
    const OURS: [RGBColor; 2] = [RGBColor(0x0a, 0x7a, 0xd1), RGBColor(0x56, 0xb4, 0xe9)];

    /// After Okabe and Ito, whose colours are told apart whatever colours one sees.
    const OTHERS: [RGBColor; 8] = [
        RGBColor(0xd5, 0x5e, 0x00),
        RGBColor(0xe6, 0x9f, 0x00),
        RGBColor(0x00, 0x9e, 0x73),
        RGBColor(0x7a, 0xb8, 0x3c),
        RGBColor(0xcc, 0x79, 0xa7),
        RGBColor(0x94, 0x67, 0xbd),
        RGBColor(0x80, 0x80, 0x80),
        RGBColor(0x9c, 0x75, 0x4a),
    ];

    /// Of all systems that were measured, in the order in which they appear.
    pub(super) fn of(results: &Results) -> Self {
        let mut hues: Vec<Hue> = Vec::new();
        let (mut ours, mut others) = (Self::OURS.iter().cycle(), Self::OTHERS.iter().cycle());
        for run in &results.runs {
            if hues.iter().any(|hue| hue.system == run.system) {
                continue;
            }
            let colors = if super::standing::is_ours(run) { &mut ours } else { &mut others };
            let color = *colors.next().expect("a cycle does not end");
            let letter = ('A'..='Z').cycle().nth(hues.len()).expect("a cycle does not end");
            hues.push(Hue { system: run.system.clone(), letter, color });
        }
        Self(hues)
    }

    pub(super) fn hue(&self, run: &Run) -> &Hue {
        let hue = self.0.iter().find(|hue| hue.system == run.system);
        hue.expect("the palette is made of the results that the run belongs to")
    }

    #[cfg(test)]
    pub(super) fn hues(&self) -> &[Hue] {
        &self.0
    }
}

impl Hue {
    /// `#0a7ad1`
    pub(super) fn css(&self) -> String {
        let RGBColor(red, green, blue) = self.color;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(systems: &[&str]) -> Results {
        let runs = systems.iter().map(|system| Run { system: (*system).into(), ..Run::default() }).collect();
        Results { runs, ..Results::default() }
    }

    #[test]
    fn ours_is_blue_wherever_it_stands() {
        for systems in [["ours", "nginx"], ["nginx", "ours"]] {
            let results = results(&systems);
            let ours = results.runs.iter().find(|run| run.system == "ours").unwrap();
            assert_eq!(Palette::of(&results).hue(ours).css(), "#0a7ad1");
        }
    }

    #[test]
    fn a_system_has_one_letter_in_all_scenarios() {
        let letters: Vec<_> =
            Palette::of(&results(&["a", "b", "a", "b", "c"])).hues().iter().map(|hue| hue.letter).collect();
        assert_eq!(letters, ['A', 'B', 'C']);
    }

    #[test]
    fn there_may_be_more_systems_than_colours() {
        let names: Vec<_> = (0..40).map(|number| number.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(Palette::of(&results(&names)).hues().len(), 40);
    }
}
