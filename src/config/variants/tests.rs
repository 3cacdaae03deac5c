use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Vec<Variant>, (String, String)> {
    Variant::parse_all(text, Output::Jpeg).map_err(|ParseError { got, expected }| (got, expected))
}

fn variant(name: &str, spec: Spec) -> Variant {
    Variant { name: name.to_owned(), spec }
}

fn sized(width: u32, height: u32) -> Spec {
    Spec { width, height, ..Spec::default() }
}

#[test]
fn the_defaults_of_a_variant_are_cover_quality_80_and_the_default_output() {
    assert_eq!(parse("thumb=300x300"), Ok(vec![variant("thumb", Spec::default())]));
    let all = Variant::parse_all("a=1x2, b=3x4 png", Output::Auto).unwrap();
    let expected = [
        variant("a", Spec { output: Output::Auto, ..sized(1, 2) }),
        variant("b", Spec { output: Output::Png, ..sized(3, 4) }),
    ];
    assert_eq!(all, expected);
}

#[cfg(feature = "libwebp")]
#[test]
fn words_have_any_order_and_any_whitespace_between_them() {
    let read = parse("\n  thumb = 300x300,\n  card=600x400 q70 fine webp\tinside\n").unwrap();
    let card =
        variant("card", Spec { fit: Fit::Inside, output: Output::WebP, quality: 70, fine: true, ..sized(600, 400) });
    assert_eq!(read, [variant("thumb", Spec::default()), card]);
}

#[test]
fn an_error_names_the_invalid_part_and_the_allowed_values() {
    for (text, got, expected) in [
        ("", "\"\"", "NAME=WIDTHxHEIGHT"),
        ("thumb=300x300,", "\"\"", "separated by commas"),
        ("thumb", "\"thumb\"", "NAME=WIDTHxHEIGHT"),
        ("thumb 300x300", "\"thumb 300x300\"", "NAME=WIDTHxHEIGHT"),
        ("thumb=", "\"\" in \"thumb=\"", "a size such as 600x400, each side from 1 to 4096"),
        ("thumb=300", "\"300\" in \"thumb=300\"", "a size"),
        ("thumb=0x300", "\"0x300\" in \"thumb=0x300\"", "from 1 to 4096"),
        ("thumb=4097x1", "\"4097x1\" in \"thumb=4097x1\"", "from 1 to 4096"),
        ("thumb=+1x1", "\"+1x1\" in \"thumb=+1x1\"", "a size"),
        ("thumb=inside 1x1", "\"inside\" in \"thumb=inside 1x1\"", "a size"),
        ("Thumb=1x1", "\"Thumb\" in \"Thumb=1x1\"", "a name of 1 to 32 characters from a-z, 0-9, \"-\" and \"_\""),
        ("=1x1", "\"\" in \"=1x1\"", "a name"),
        ("a b=1x1", "\"a b\" in \"a b=1x1\"", "a name"),
        ("a=1x1 insid", "\"insid\" in \"a=1x1 insid\"", "cover, contain or inside; jpeg, png"),
        ("a=1x1 q0", "\"q0\" in \"a=1x1 q0\"", "q1 to q100"),
        ("a=1x1 q101", "\"q101\" in \"a=1x1 q101\"", "q1 to q100"),
        ("a=1x1 q", "\"q\" in \"a=1x1 q\"", "q1 to q100"),
        ("a=1x1 cover inside", "\"inside\" in \"a=1x1 cover inside\"", "at most one fit, one format, one quality"),
        ("a=1x1 q1 q1", "\"q1\" in \"a=1x1 q1 q1\"", "at most one fit"),
        ("a=1x1 fine fine", "\"fine\" in \"a=1x1 fine fine\"", "and one \"fine\""),
        ("a=1x1 png q70", "\"a=1x1 png q70\"", "no quality for png"),
        ("a=1x1, b=2x2, a=3x3", "two variants \"a\"", "a unique name for each"),
    ] {
        let (part, allowed) = parse(text).unwrap_err();
        assert_eq!(part, got, "{text}");
        assert!(allowed.contains(expected), "{text}: {allowed}");
    }
    assert!(parse(&format!("{}=1x1", "n".repeat(32))).is_ok());
    assert!(parse(&format!("{}=1x1", "n".repeat(33))).unwrap_err().0.starts_with("\"nnn"));
    let many = |number| (0..number).map(|at| format!("v{at}=1x1")).collect::<Vec<_>>().join(",");
    assert_eq!(parse(&many(16)).unwrap().len(), 16);
    assert_eq!(parse(&many(17)), Err(("17 variants".to_owned(), "at most 16".to_owned())));
}

fn formatted(variant: &Variant) -> String {
    let Variant { name, spec: Spec { width, height, fit, output, quality, fine } } = variant;
    let fit = match fit {
        Fit::Cover => "cover",
        Fit::Contain => "contain",
        Fit::Inside => "inside",
    };
    let rest = match output {
        Output::Jpeg => format!("jpeg q{quality}"),
        Output::Png => "png".to_owned(),
        Output::WebP => format!("webp q{quality}"),
        Output::Auto => format!("auto q{quality}"),
    };
    let fine = if *fine { " fine" } else { "" };
    format!("{name}={width}x{height} {rest}{fine} {fit}")
}

fn any_variant() -> impl Strategy<Value = Variant> {
    let fits = prop_oneof![Just(Fit::Cover), Just(Fit::Contain), Just(Fit::Inside)];
    let outputs = if HAS_WEBP {
        vec![Output::Jpeg, Output::Png, Output::WebP, Output::Auto]
    } else {
        vec![Output::Jpeg, Output::Png]
    };
    let (size, quality) = ((1..=MAX_SIDE, 1..=MAX_SIDE), 1..=100_u8);
    let parts = ("[a-z0-9_-]{1,32}", size, fits, prop::sample::select(outputs), quality, any::<bool>());
    parts.prop_map(|(name, (width, height), fit, output, quality, fine)| {
        let quality = if output == Output::Png { Spec::default().quality } else { quality };
        Variant { name, spec: Spec { width, height, fit, output, quality, fine } }
    })
}

proptest! {
    #[test]
    fn a_formatted_variant_is_parsed_back(variants in prop::collection::vec(any_variant(), 1..=MAX_VARIANTS)) {
        let text = variants.iter().map(formatted).collect::<Vec<_>>().join(", ");
        let names: std::collections::HashSet<_> = variants.iter().map(|variant| &variant.name).collect();
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, variants),
            Err((got, _)) => prop_assert!(names.len() < variants.len() && got.starts_with("two variants"), "{}", got),
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn parsed_variants_are_within_the_bounds(text in "([a-c]{0,2}=?[0-9]{0,5}x?[0-9]{0,5}( (inside|jpeg|png|fine|q[0-9]{0,4}))*,?){1,3}") {
        if let Ok(read) = parse(&text) {
            prop_assert!((1..=MAX_VARIANTS).contains(&read.len()));
            for Variant { name, spec: Spec { width, height, quality, .. } } in read {
                prop_assert!((1..=MAX_NAME).contains(&name.len()));
                prop_assert!((1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height));
                prop_assert!((1..=100).contains(&quality));
            }
        }
    }
}
