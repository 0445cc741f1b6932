//! Lists the faults that can be put into Rust files: a line each, `FILE START END KIND FUNCTION TEXT`, with tabs between. TEXT
//! takes the place of the bytes from START to END; in it, `@` is a question that is true where the fault is wished for.

use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ReturnType, Type};

/// Collects the faults of one file.
struct Faults<'a> {
    file: &'a Path,
    text: &'a str,
    /// The function that is looked at.
    function: String,
}

impl Faults<'_> {
    fn of(&self, span: Span) -> &str {
        &self.text[span.byte_range()]
    }

    fn put(&self, span: Span, kind: &str, text: &str) {
        let (at, text) = (span.byte_range(), text.replace('\n', " "));
        let (file, function) = (self.file.display(), &self.function);
        // A comment would hide what is behind it.
        if !text.contains("//") {
            println!("{file}\t{}\t{}\t{kind}\t{function}\t{text}", at.start, at.end);
        }
    }

    /// One expression in place of another of its type.
    fn instead(&self, span: Span, kind: &str, other: &str) {
        self.put(span, kind, &format!("(if @ {{ {other} }} else {{ {} }})", self.of(span)));
    }

    /// A condition that always holds, or never.
    fn condition(&self, condition: &Expr) {
        if !has_let(condition) {
            self.instead(condition.span(), "true", "true");
            self.instead(condition.span(), "false", "false");
        }
    }

    /// Begins a function, free or of a type; false for one that is not looked into: what runs in tests only, or while it is
    /// built, has no switches.
    fn enter(
        &mut self,
        attributes: &[syn::Attribute],
        signature: &syn::Signature,
        block: &syn::Block,
    ) -> bool {
        if is_for_tests(attributes) || signature.constness.is_some() {
            return false;
        }
        self.function = signature.ident.to_string();
        self.body(signature, block);
        true
    }

    fn body(&self, signature: &syn::Signature, block: &syn::Block) {
        let Some(first) = block.stmts.first() else { return };
        let values: &[&str] = match &signature.output {
            ReturnType::Default => &["()"],
            ReturnType::Type(_, result) => values(result),
        };
        let start = self.of(first.span());
        for value in values {
            let text = format!("if @ {{ return {value}; }} {start}");
            self.put(first.span(), &format!("return {value}"), &text);
        }
    }
}

/// Whether it has a pattern in it, whose names the rest needs.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(both) => has_let(&both.left) || has_let(&both.right),
        Expr::Paren(inner) => has_let(&inner.expr),
        _ => false,
    }
}

/// What a function may return at once.
fn values(result: &Type) -> &'static [&'static str] {
    let Type::Path(path) = result else { return &[] };
    let Some(last) = path.path.segments.last() else { return &[] };
    let inner = match &last.arguments {
        syn::PathArguments::AngleBracketed(inner) => inner.args.first(),
        _ => None,
    };
    let is_unit = matches!(inner, Some(syn::GenericArgument::Type(Type::Tuple(all))) if all.elems.is_empty());
    match last.ident.to_string().as_str() {
        "bool" => &["true", "false"],
        "Option" => &["None"],
        "Vec" => &["Vec::new()"],
        "String" => &["String::new()"],
        "u64" | "usize" | "u32" | "u16" | "u8" => &["0", "1"],
        "Result" if is_unit => &["Ok(())"],
        _ => &[],
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|one| one.path().is_ident("cfg") || one.path().is_ident("test"))
}

impl<'ast> Visit<'ast> for Faults<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    // What is computed while it is built has no switches.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if self.enter(&item.attrs, &item.sig, &item.block) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if self.enter(&item.attrs, &item.sig, &item.block) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_expr_if(&mut self, item: &'ast syn::ExprIf) {
        self.condition(&item.cond);
        visit::visit_expr_if(self, item);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.condition(guard);
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_binary(&mut self, both: &'ast syn::ExprBinary) {
        let other = match both.op {
            BinOp::Eq(_) => "!=",
            BinOp::Ne(_) => "==",
            BinOp::Lt(_) => "<=",
            BinOp::Le(_) => "<",
            BinOp::Gt(_) => ">=",
            BinOp::Ge(_) => ">",
            BinOp::And(_) => "||",
            BinOp::Or(_) => "&&",
            _ => "",
        };
        let whole = Expr::Binary(both.clone());
        if !other.is_empty() && !has_let(&whole) {
            let [left, right] = [&both.left, &both.right].map(|side| self.of(side.span()));
            let kind = format!("{} -> {other}", self.of(both.op.span()));
            self.instead(both.span(), &kind, &format!("({left}) {other} ({right})"));
        }
        visit::visit_expr_binary(self, both);
    }

    fn visit_expr_unary(&mut self, not: &'ast syn::ExprUnary) {
        if matches!(not.op, syn::UnOp::Not(_)) {
            self.instead(not.span(), "without !", self.of(not.expr.span()));
        }
        visit::visit_expr_unary(self, not);
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn main() {
    let folder = std::env::args_os().nth(1).unwrap();
    let mut all = Vec::new();
    files(Path::new(&folder), &mut all);
    all.sort();
    for file in all {
        let text = std::fs::read_to_string(&file).unwrap();
        let parsed = syn::parse_file(&text).unwrap();
        let mut faults = Faults { file: &file, text: &text, function: String::new() };
        faults.visit_file(&parsed);
    }
}
