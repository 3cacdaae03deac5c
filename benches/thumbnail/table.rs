//! The figures, as a Markdown table and as one JSON object.

use serde_json::{Map, Value, json};

use super::again::Report;

/// One file's.
pub struct Line {
    /// The file's name.
    pub name: String,
    /// Width times height.
    pub pixels: u64,
    /// The file's length.
    pub bytes: u64,
    /// The header.
    pub probe: Report,
    /// The pixels.
    pub decode: Report,
    /// The thumbnail's file.
    pub encode: Report,
    /// Everything.
    pub whole: Report,
}

impl Line {
    /// What is left of the whole when its other stages are taken off.
    fn resize(&self) -> f64 {
        (self.whole.cpu() - self.decode.cpu() - self.encode.cpu()).max(0.0)
    }
}

/// All files'.
#[derive(Default)]
pub struct Table {
    rows: Vec<String>,
    values: Map<String, Value>,
}

const HEADER: &str = "| input | MP | MB | probe ms | decode ms | resize ms | encode ms | whole ms | per CPU-second | MP/s \
                      | decode, peak MB | whole, peak MB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

impl Table {
    /// Adds a file's figures.
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
            "\nCPU time on one thread, medians; peak memory above that of the idle process, the file's bytes included.\n"
        );
        println!("{HEADER}\n{}\n\n{}", self.rows.join("\n"), Value::Object(self.values.clone()));
    }
}
