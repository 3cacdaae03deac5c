//! The results as a Markdown table and as one JSON object.

use serde_json::{Map, Value, json};

use super::repeat::Report;

/// The results of one file.
pub struct Line {
    /// File name.
    pub name: String,
    /// Width times height.
    pub pixels: u64,
    /// File size.
    pub bytes: u64,
    /// The stage `probe`.
    pub probe: Report,
    /// The stage `decode`.
    pub decode: Report,
    /// The stage `encode`.
    pub encode: Report,
    /// The stage `whole`.
    pub whole: Report,
}

impl Line {
    /// The whole without the other stages.
    fn resize(&self) -> f64 {
        (self.whole.cpu() - self.decode.cpu() - self.encode.cpu()).max(0.0)
    }
}

/// The results of all files.
#[derive(Default)]
pub struct Table {
    rows: Vec<String>,
    values: Map<String, Value>,
}

const HEADER: &str = "| input | MP | MB | probe ms | decode ms | resize ms | encode ms | whole ms | per CPU-second | MP/s \
                      | decode, peak MB | whole, peak MB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

impl Table {
    /// Adds the results of a file.
    pub fn add(&mut self, line: Line) {
        let millions = |number: u64| number as f64 / 1e6;
        let whole = line.whole.cpu();
        let row = format!(
            "| `{}` | {:.1} | {:.2} | {:.3} | {:.2} | {:.2} | {:.2} | {whole:.2} | {:.1} | {:.0} | {:.1} | {:.1} |",
            line.name,
            millions(line.pixels),
            millions(line.bytes),
            line.probe.cpu(),
            line.decode.cpu(),
            line.resize(),
            line.encode.cpu(),
            1000.0 / whole,
            millions(line.pixels) / whole * 1000.0,
            line.decode.above_idle(),
            line.whole.above_idle(),
        );
        eprintln!("{row}");
        self.values.insert(
            line.name.clone(),
            json!({
                "pixels": line.pixels,
                "bytes": line.bytes,
                "probe_ms": line.probe.cpu(),
                "decode_ms": line.decode.cpu(),
                "resize_ms": line.resize(),
                "encode_ms": line.encode.cpu(),
                "whole_ms": whole,
                "decode_peak_mb": line.decode.above_idle(),
                "whole_peak_mb": line.whole.above_idle(),
            }),
        );
        self.rows.push(row);
    }

    /// Prints everything to stdout.
    pub fn print(&self) {
        println!(
            "\nCPU time on one thread, medians; peak memory above the idle process, including the bytes of the file.\n"
        );
        println!("{HEADER}\n{}\n\n{}", self.rows.join("\n"), Value::Object(self.values.clone()));
    }
}
