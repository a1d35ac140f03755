// The bench's rows for Rust's jsonschema: see bench.c. usage: PROGRAM DATA plain|formats SECONDS
use jsonschema::Validator;
use serde_json::Value;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

struct Item {
    name: String,
    text: String,
    parsed: Value,
}

fn compile(text: &str, formats: bool) -> Validator {
    let schema: Value = serde_json::from_str(text).expect("a schema");
    jsonschema::options().should_validate_formats(formats).build(&schema).expect("a schema that compiles")
}

fn load(path: &str) -> Vec<Item> {
    let lines = std::fs::read_to_string(path).expect("the data");
    let item = |line: &str| {
        let (name, text) = line.split_once('\t').expect("a tab");
        Item { name: name.into(), text: text.into(), parsed: serde_json::from_str(text).expect("JSON") }
    };
    lines.lines().map(item).collect()
}

fn rate(count: usize, seconds: f64, mut turn: impl FnMut()) -> f64 {
    turn(); // warm
    let start = Instant::now();
    let mut turns = 0;
    loop {
        turn();
        turns += 1;
        let spent = start.elapsed().as_secs_f64();
        if spent >= seconds {
            return (turns * count) as f64 / spent;
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (data, formats, seconds) = (&args[1], args[2] == "formats", args[3].parse::<f64>().expect("seconds"));
    let valid = load(&format!("{data}/valid.tsv"));
    let invalid = load(&format!("{data}/invalid.tsv"));
    let mut texts = HashMap::new();
    for item in &valid {
        let read = || std::fs::read_to_string(format!("{data}/schemas/{}.json", item.name)).expect("a schema");
        texts.entry(item.name.clone()).or_insert_with(read);
    }
    let compiled: HashMap<&String, Validator> = texts.iter().map(|(k, v)| (k, compile(v, formats))).collect();
    let good: Vec<(&Item, &Validator)> = valid.iter().map(|i| (i, &compiled[&i.name])).collect();
    let bad: Vec<(&Item, &Validator)> = invalid.iter().map(|i| (i, &compiled[&i.name])).collect();
    let disagreements = good.iter().filter(|(i, v)| !v.is_valid(&i.parsed)).count()
        + bad.iter().filter(|(i, v)| v.is_valid(&i.parsed)).count();
    println!("disagreements\t{disagreements}");
    let repeat = |list: &[(&Item, &Validator)]| {
        for (item, validator) in list {
            for _ in 0..16 {
                black_box(validator.is_valid(black_box(&item.parsed)));
            }
        }
    };
    println!("validate\t{:.3}", rate(good.len() * 16, seconds, || repeat(&good)));
    let parse = || {
        for (item, validator) in &good {
            let parsed: Value = serde_json::from_str(&item.text).expect("JSON");
            black_box(validator.is_valid(&parsed));
        }
    };
    println!("parse\t{:.3}", rate(good.len(), seconds, parse));
    println!("reject\t{:.3}", rate(bad.len() * 16, seconds, || repeat(&bad)));
    let errors = || {
        for (item, validator) in &bad {
            for error in validator.iter_errors(&item.parsed) {
                black_box((error.instance_path().as_str().len(), error.schema_path().as_str().len(), error.to_string()));
            }
        }
    };
    println!("errors\t{:.3}", rate(bad.len(), seconds, errors));
    let compile_all = || {
        for text in texts.values() {
            black_box(compile(text, formats));
        }
    };
    println!("compile\t{:.3}", rate(texts.len(), seconds, compile_all));
}
