//! What a simulation found, as a picture: in characters, or as SVG.

use std::fmt::Write as _;

use super::outcome::{Hour, Outcome, Point};

/// The longest bar, in characters.
const WIDTH: usize = 50;

/// Two bars an hour: `#` for the most nodes rented at once, `.` for the most pods that waited.
pub fn text(outcome: &Outcome) -> String {
    let most = |of: fn(&Hour) -> usize| outcome.hours.iter().map(of).max().unwrap_or(0).max(1);
    let (nodes, pending) = (most(|hour| hour.most_nodes), most(|hour| hour.most_pending));
    let mut chart = String::from("hour  # most nodes rented at once, . most pods that waited\n");
    for hour in &outcome.hours {
        let mut line = |name: &str, sign: &str, value: usize, most: usize| {
            // Whatever is not zero is seen.
            let length = (value * WIDTH).div_ceil(most);
            let _ = writeln!(chart, "{name:>4}  {} {value}", sign.repeat(length));
        };
        line(&hour.hour.to_string(), "#", hour.most_nodes, nodes);
        line("", ".", hour.most_pending, pending);
    }
    chart
}

const SVG_WIDTH: f64 = 900.0;
const PANE: f64 = 160.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 30.0;

/// Two panes over time: rented nodes, and pods that wait. Needs nothing but a browser.
pub fn svg(outcome: &Outcome) -> String {
    let points = &outcome.points;
    let end = points.last().map_or(1, |point| point.at).max(1);
    let height = 2.0 * (PANE + 2.0 * TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        SVG_WIDTH + LEFT + 20.0
    );
    pane(&mut svg, "rented nodes", "#1f6fb2", 0.0, points, end, |point| point.nodes);
    pane(&mut svg, "waiting pods", "#b2541f", PANE + 2.0 * TOP, points, end, |point| point.pending);
    svg.push_str("</svg>\n");
    svg
}

fn pane(
    svg: &mut String,
    title: &str,
    colour: &str,
    above: f64,
    points: &[Point],
    end: u64,
    of: fn(&Point) -> usize,
) {
    let most = points.iter().map(of).max().unwrap_or(0).max(1);
    let x = |at: u64| LEFT + SVG_WIDTH * at as f64 / end as f64;
    let bottom = above + TOP + PANE;
    let y = |value: usize| bottom - PANE * value as f64 / most as f64;
    let mut path = format!("M{LEFT:.1} {bottom:.1}");
    for point in points {
        let _ = write!(path, "H{:.1}V{:.1}", x(point.at), y(of(point)));
    }
    let _ = write!(path, "H{:.1}", x(end));
    let hours = end as f64 / 3_600_000.0;
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\">{title}</text>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{most}</text>\n\
         <text x=\"{:.1}\" y=\"{bottom:.1}\" text-anchor=\"end\">0</text>\n\
         <path d=\"M{LEFT} {:.1}V{bottom:.1}H{:.1}\" fill=\"none\" stroke=\"#888\"/>\n\
         <path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{hours:.1} hours</text>\n",
        above + TOP - 8.0,
        LEFT - 6.0,
        above + TOP + 10.0,
        LEFT - 6.0,
        above + TOP,
        LEFT + SVG_WIDTH,
        LEFT + SVG_WIDTH,
        bottom + 16.0,
    );
}
