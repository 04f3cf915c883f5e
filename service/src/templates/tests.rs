use serde_json::{Value, json};

use super::{Context, MAX_OUTPUT, Template};
use crate::error::Error;

fn render(template: Value, context: Value) -> Result<Value, String> {
    let template = Template::compile(&template, "/config/body").expect("compiles");
    template.render(&Context::from(&context)).map_err(|error| error.to_string())
}

fn refused(template: Value) -> Vec<String> {
    match Template::check(&template, "/config/body") {
        Err(Error::Invalid { errors }) => errors.into_iter().map(|error| error.pointer).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_lone_expression_keeps_its_type() {
    let input = json!({"input": {"n": 7, "big": u64::MAX, "f": 1.5, "list": [1, {"a": null}], "on": true}});
    let template = json!({"n": "{{ input.n }}", "big": "{{input.big}}", "list": ["{{ input.list }}"],
        "f": "{{ input['f'] }}", "on": "{{ input.on }}", "nothing": "{{ input.list[1].a }}", "two": 2});
    let expected = json!({"n": 7, "big": u64::MAX, "list": [[1, {"a": null}]], "f": 1.5, "on": true,
        "nothing": null, "two": 2});
    assert_eq!(render(template, input), Ok(expected));
}

#[test]
fn text_around_an_expression_makes_text() {
    let input = json!({"name": "Zoë", "on": true, "list": ["a", 1]});
    let rendered =
        render(json!("{{ name }}: {{ on }} {{ list }} {{ list | join('/') }} {% if %} {# x"), input);
    assert_eq!(rendered, Ok(json!("Zoë: true [\"a\",1] a/1 {% if %} {# x")));
    assert_eq!(render(json!("{{ '}}' }}{{ {'a': {'b': 1}} }}"), json!({})), Ok(json!("}}{\"a\":{\"b\":1}}")));
}

#[test]
fn filters_and_conditions() {
    let input = json!({"s": " Ab ", "n": 2.6, "none": null});
    for (template, expected) in [
        ("{{ s | trim | lower }}", json!("ab")),
        ("{{ n | round | int }}", json!(3)),
        ("{{ missing | default(none) }}", json!(null)),
        ("{{ missing | default('x') }}", json!("x")),
        ("{{ 'yes' if missing is defined else 'no' }}", json!("no")),
        ("{{ s | tojson }}", json!("\" Ab \"")),
        ("{{ [s, 1] | length }}", json!(2)),
    ] {
        assert_eq!(render(json!(template), input.clone()), Ok(expected), "{template}");
    }
}

#[test]
fn values_are_never_templates() {
    let hostile = "{{ secret }} {% for x in y %} {{ 7 + 7 }}";
    let input = json!({"a": hostile, "b": {"{{ secret }}": hostile}, "secret": "s3cret"});
    assert_eq!(render(json!("{{ a }}"), input.clone()), Ok(json!(hostile)));
    assert_eq!(render(json!("<{{ a }}>"), input.clone()), Ok(json!(format!("<{hostile}>"))));
    assert_eq!(render(json!("{{ b }}"), input.clone()), Ok(json!({"{{ secret }}": hostile})));
    assert_eq!(render(json!({"{{ secret }}": 1}), input), Ok(json!({"{{ secret }}": 1})));
}

#[test]
fn undefined_names_are_errors_with_a_place() {
    for template in ["{{ nope }}", "a {{ nope }}", "{{ input.nope }}", "{{ input.nope.deeper }}"] {
        let error = render(json!({"x": [template]}), json!({"input": {}})).unwrap_err();
        assert!(error.starts_with("/x/0: ") && error.contains("undefined"), "{error}");
    }
}

#[test]
fn syntax_errors_name_every_place() {
    let template = json!({"a/b": "{{ x", "ok": "{{ x }}", "list": ["{{ x | }}", "{{ }}", "{{ a b }}"]});
    let mut places = refused(template);
    places.sort();
    assert_eq!(
        places,
        ["/config/body/a~1b", "/config/body/list/0", "/config/body/list/1", "/config/body/list/2"]
    );
    for source in ["{{ 'a' * 9 }}", "{{ a ~ a }}", "{{- a }}", "{{ 'a }}", "{{ a | upper() b }}"] {
        assert_eq!(refused(json!(source)), ["/config/body"], "{source}");
    }
    assert_eq!(render(json!("{{ '*~' }}"), json!({})), Ok(json!("*~")));
}

#[test]
fn what_is_not_listed_is_not_there() {
    let input = json!({"a": {"b": [1]}});
    for source in [
        "{{ a | map(attribute='b') }}",
        "{{ a | pprint }}",
        "{{ range(10) }}",
        "{{ debug() }}",
        "{{ a.items() }}",
        "{{ a is mapping }}",
        "{{ a.__class__ }}",
    ] {
        let compiled = Template::compile(&json!(source), "");
        let outcome = compiled.map(|template| template.render(&Context::from(&input)));
        assert!(!matches!(outcome, Ok(Ok(_))), "{source}: {outcome:?}");
    }
}

#[test]
fn work_and_output_are_bounded() {
    let big = json!({"big": "x".repeat(MAX_OUTPUT / 2 - 10), "quote": "\"".repeat(100)});
    assert!(render(json!("{{ big }}{{ big }}"), big.clone()).is_ok());
    for template in [
        json!("{{ big }}{{ big }}{{ big }}"),
        json!(["{{ big }}", {"a": "{{ big }}"}, "{{ big }}"]),
        json!("{{ [big, big, big] }}"),
        json!("{{ [big, big, big] | join }}"),
        json!("{{ big + big + big }}"),
        json!(format!("{{{{ quote{} }}}}", " | tojson".repeat(30))),
    ] {
        let error = render(template, big.clone()).unwrap_err();
        assert!(error.contains("too large"), "{error}");
    }
}

/// The work is one rendering's, however many expressions share it; what is only handed on is none.
#[test]
fn many_small_walks_are_one_large() {
    let input = json!({ "a": vec![0; 10_000] });
    let of = |source: &str, count: usize| json!(vec![format!("{{{{ {source} }}}}"); count]);
    assert!(render(of("'x' in a", 10), input.clone()).is_ok());
    let error = render(of("'x' in a", 1_000), input.clone()).unwrap_err();
    assert!(error.contains("too much work"), "{error}");
    assert!(render(of("a", 12), input).is_ok());
}

/// Each instruction of these would walk through a million values, or copy a megabyte.
#[test]
fn long_walks_are_refused_before_they_begin() {
    let list = vec![0; 250_000];
    let text = "x".repeat(1 << 20);
    let input = json!({"a": list, "b": list, "s": text, "t": text, "small": [1, 2]});
    for source in [
        format!("{{{{ {} }}}}", vec!["a == b"; 20].join(" and ")),
        format!("{{{{ {} }}}}", vec!["'x' in a"; 20].join(" or ")),
        format!("{{{{ {} }}}}", vec!["(a | join)"; 20].join(" + ")),
        format!("{{{{ s{} }}}}", " | upper".repeat(50)),
        format!("{{{{ {} }}}}", vec!["(s + t | length)"; 20].join(" + ")),
        format!("{{{{ {} }}}}", vec!["a[::-1] | length"; 20].join(" + ")),
        format!("{{{{ {} }}}}", ["[a, b] == [b, a]"; 10].join(" and ")),
    ] {
        let error = render(json!(source), input.clone()).unwrap_err();
        assert!(error.contains("too much work"), "{source}: {error}");
    }
    assert_eq!(render(json!("{{ a | length }}"), input.clone()), Ok(json!(250_000)));
    let many = format!("{{{{ {} }}}}", vec!["small == small"; 20].join(" and "));
    assert_eq!(render(json!(many), input), Ok(json!(true)));
}

#[test]
fn what_is_sliced_is_named() {
    for (source, names) in [
        ("a.b[1:c]", &["a.b", "c"][..]),
        ("(a + b)[d[1:]:2] | join", &["a", "b", "d"]),
        ("[a[0], {'x:]': b[::-1]}][1:]", &["a", "b"]),
        ("{'a': b}['a']", &["b"]),
    ] {
        let template = Template::compile(&json!(format!("{{{{ {source} }}}}")), "").unwrap();
        let found: Vec<String> = template.names("").into_iter().map(|(_, name)| name).collect();
        assert_eq!(found, names, "{source}");
    }
}

#[test]
fn depth_and_expression_size_are_bounded() {
    let nested = |levels: usize| (0..levels).fold(json!("{{ x }}"), |inner, _| json!([inner]));
    assert!(Template::check(&nested(31), "").is_ok());
    assert_eq!(refused(nested(40)).len(), 1);
    for source in [
        format!("{{{{ {}1{} }}}}", "(".repeat(200), ")".repeat(200)),
        format!("{{{{ {} }}}}", "a + ".repeat(200) + "a"),
        "{{ a }}".repeat(65),
    ] {
        assert_eq!(refused(json!(source)), ["/config/body"]);
    }
}
