//! The figures as a picture: a bar an engine, and across the bars of a figure the limit of the machine.
//!
//! Prompts, streams and contexts have a scale each, as they are far apart.

use anyhow::{Context as _, Result};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{Figure, Kind, Limits, What};

const HEIGHT: u32 = 520;
/// For the title and what the colours mean.
const LEAST_WIDTH: u32 = 900;
/// Of both.
const HEAD: u32 = 74;
/// Of a bar, wide enough for the number on it; of a group, for what is written below it.
const BAR: u32 = 46;
const GROUP: u32 = 108;
/// Left of the bars for the scale, and around.
const MARGIN: u32 = 12;
const SCALE: u32 = 52;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(27, 31, 36);
const PALE: RGBColor = RGBColor(89, 99, 110);
const LIMIT: RGBColor = RGBColor(207, 34, 46);

/// A bar's colour.
fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Native => RGBColor(9, 105, 218),
        Kind::LlamaCpp => RGBColor(191, 135, 0),
        Kind::MistralRs => RGBColor(130, 80, 223),
    }
}

/// What has a scale of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panel {
    Prompts,
    Held,
    Streams,
    Answers,
}

impl Panel {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Prompts, "Reading a prompt"),
        (Self::Held, "One that is held"),
        (Self::Streams, "Writing in streams, all together"),
        (Self::Answers, "Writing after so many tokens"),
    ];

    fn of(what: What) -> Self {
        match what {
            What::Prompt(_) => Self::Prompts,
            What::Held(_) => Self::Held,
            What::Streams(_) => Self::Streams,
            What::After(_) => Self::Answers,
        }
    }
}

/// The picture, of what was measured with a file.
pub(super) fn svg(file: &str, figures: &[Figure], limits: &Limits) -> Result<String> {
    let mut svg = String::new();
    draw(&mut svg, file, figures, limits).context("the picture cannot be drawn")?;
    Ok(svg)
}

fn draw(svg: &mut String, file: &str, figures: &[Figure], limits: &Limits) -> Result<()> {
    let panels: Vec<(&str, Vec<&Figure>)> = Panel::ALL
        .iter()
        .map(|(panel, title)| (*title, figures.iter().filter(|figure| Panel::of(figure.what) == *panel).collect()))
        .filter(|(_, of): &(_, Vec<_>)| !of.is_empty())
        .collect();
    let width = panels.iter().map(|(_, of)| width(of)).sum::<u32>().max(LEAST_WIDTH);
    let root = SVGBackend::with_string(svg, (width, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, mut rest) = root.split_vertically(HEAD);
    head.draw(&Text::new(format!("Tokens a second: {file}"), (24, 14), (FONT, 24).into_font().color(&INK)))?;
    legend(&head, figures)?;
    for (title, of) in &panels {
        let (area, behind) = rest.split_horizontally(self::width(of));
        panel(&area, title, of, limits)?;
        rest = behind;
    }
    root.present()?;
    Ok(())
}

/// What the colours mean.
fn legend(head: &DrawingArea<SVGBackend<'_>, Shift>, figures: &[Figure]) -> Result<()> {
    let label = |text: &str, x| Text::new(text.to_owned(), (x, 48), (FONT, 17).into_font().color(&INK));
    let mut x = 24;
    for kind in Kind::ALL.into_iter().filter(|kind| figures.iter().any(|figure| figure.engine == *kind)) {
        head.draw(&Rectangle::new([(x, 48), (x + 14, 62)], colour(kind).filled()))?;
        head.draw(&label(kind.name(), x + 20))?;
        x += 40 + 9 * kind.name().len() as i32;
    }
    head.draw(&PathElement::new([(x, 55), (x + 24, 55)], LIMIT.stroke_width(3)))?;
    head.draw(&label(
        "what this machine could do at most with these weights, of which each bar is so many per cent",
        x + 30,
    ))?;
    Ok(())
}

/// What stands together: the bars of all engines for one thing.
fn groups(figures: &[&Figure]) -> Vec<What> {
    let mut groups: Vec<What> = figures.iter().map(|figure| figure.what).collect();
    groups.dedup();
    groups
}

/// Of a panel.
fn width(figures: &[&Figure]) -> u32 {
    let engines = Kind::ALL.into_iter().filter(|kind| figures.iter().any(|figure| figure.engine == *kind)).count();
    2 * MARGIN + SCALE + groups(figures).len() as u32 * GROUP.max(engines as u32 * BAR * 5 / 4)
}

fn panel(area: &DrawingArea<SVGBackend<'_>, Shift>, title: &str, figures: &[&Figure], limits: &Limits) -> Result<()> {
    let groups = groups(figures);
    let limit = |what: What| what.bound(limits).tokens_per_second;
    let rates = figures.iter().map(|figure| figure.tokens_per_second);
    let top = rates.chain(groups.iter().filter_map(|what| limit(*what))).fold(1.0, f64::max) * 1.12;
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 19).into_font().color(&INK))
        .margin(MARGIN)
        .margin_bottom(44)
        .set_label_area_size(LabelAreaPosition::Left, SCALE)
        .build_cartesian_2d(0.0..groups.len() as f64, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(PALE.mix(0.2))
        .axis_style(PALE)
        .y_labels(6)
        .y_label_style((FONT, 15).into_font().color(&PALE))
        .y_label_formatter(&|rate: &f64| format!("{rate:.0}"))
        .draw()?;
    for (at, &what) in groups.iter().enumerate() {
        let of: Vec<&&Figure> = figures.iter().filter(|figure| figure.what == what).collect();
        let width = 0.8 / of.len() as f64;
        for (bar, figure) in of.iter().enumerate() {
            let left = at as f64 + 0.1 + width * bar as f64;
            let rate = figure.tokens_per_second;
            let corners = [(left + width * 0.05, 0.0), (left + width * 0.95, rate)];
            chart.draw_series([Rectangle::new(corners, colour(figure.engine).filled())])?;
            let (x, y) = chart.backend_coord(&(left + width / 2.0, rate));
            write(area, &shown(rate), (x, y - 3), 16, INK, VPos::Bottom)?;
            let (_, bottom) = chart.backend_coord(&(left, 0.0));
            if let Some(limit) = limit(what).filter(|_| bottom - y > 24) {
                write(area, &format!("{:.0} %", 100.0 * rate / limit), (x, y + 5), 14, WHITE, VPos::Top)?;
            }
        }
        if let Some(limit) = limit(what) {
            let line = [(at as f64 + 0.06, limit), (at as f64 + 0.94, limit)];
            chart.draw_series([PathElement::new(line, LIMIT.stroke_width(3))])?;
            let (x, y) = chart.backend_coord(&(at as f64 + 0.94, limit));
            write(area, &shown(limit), (x - 12, y - 4), 16, LIMIT, VPos::Bottom)?;
        }
        let (x, y) = chart.backend_coord(&(at as f64 + 0.5, 0.0));
        write(area, &name(what), (x, y + 8), 17, INK, VPos::Top)?;
    }
    Ok(())
}

/// Text around a place of the whole picture.
fn write(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    text: &str,
    (x, y): (i32, i32),
    size: u32,
    ink: RGBColor,
    above: VPos,
) -> Result<()> {
    let (left, top) = area.get_base_pixel();
    let style = (FONT, size).into_font().color(&ink).pos(Pos::new(HPos::Center, above));
    area.draw(&Text::new(text.to_owned(), (x - left, y - top), style))?;
    Ok(())
}

fn shown(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

fn name(what: What) -> String {
    match what {
        What::Prompt(tokens) | What::Held(tokens) | What::After(tokens) => format!("{tokens} tokens"),
        What::Streams(1) => "1 stream".to_owned(),
        What::Streams(streams) => format!("{streams} streams"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_a_bar_with_its_number_and_names_are_escaped() {
        let figure = |engine, what, tokens_per_second| Figure { engine, what, tokens_per_second };
        let figures = [
            figure(Kind::Native, What::Prompt(256), 123.0),
            figure(Kind::LlamaCpp, What::Prompt(256), 101.0),
            figure(Kind::Native, What::Streams(8), 45.6),
            figure(Kind::LlamaCpp, What::Streams(8), 34.5),
            figure(Kind::Native, What::After(8_192), 7.8),
        ];
        let limits = super::super::limit::tests::limits(true);
        let svg = svg("<a & b>.gguf", &figures, &limits).unwrap();
        for text in ["123", "101", "45.6", "34.5", "7.8", "256 tokens", "8 streams", "8192 tokens", "llama-cpp"] {
            assert!(svg.lines().any(|line| line == text), "`{text}` in {svg}");
        }
        for kind in [Kind::Native, Kind::LlamaCpp] {
            let RGBColor(red, green, blue) = colour(kind);
            let bars = svg.matches(&format!("fill=\"#{red:02X}{green:02X}{blue:02X}\"")).count();
            let of = figures.iter().filter(|figure| figure.engine == kind).count();
            assert_eq!(bars, of + 1, "{kind}: a bar each, and one that says what the colour means");
        }
        // Of its three things, each has one.
        assert_eq!(svg.matches("stroke=\"#CF222E\"").count(), 3 + 1);
        assert!(svg.contains("&lt;a &amp; b&gt;.gguf") && !svg.contains("<a &"), "{svg}");
    }
}
