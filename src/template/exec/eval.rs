//! Values of pipelines, commands and their operands.

use std::sync::Arc;

use super::Exec;
use crate::template::functions::{FUNCTIONS, Function, Param};
use crate::template::methods;
use crate::template::number::Number;
use crate::template::tree::{Command, Operand, Pipe, Place, Term};
use crate::template::value::{IntKind, ListKind, Value};

/// Arguments as written, and the value of the command before, which is the last argument.
#[derive(Clone, Copy)]
struct Arguments<'t, 'v> {
    operands: &'t [Operand],
    last: Option<&'v Value>,
}

impl Arguments<'_, '_> {
    const NONE: Self = Self { operands: &[], last: None };

    fn count(self) -> usize {
        self.operands.len() + usize::from(self.last.is_some())
    }
}

impl<'t> Exec<'t, '_> {
    /// The value of the last command; sets the pipeline's variables.
    pub(super) fn pipe(&mut self, dot: &Value, pipe: &'t Pipe) -> Result<Value, String> {
        self.deeper(|exec| {
            exec.at = Some(pipe);
            let mut value: Option<Value> = None;
            for command in &pipe.commands {
                exec.context.budget.step(1)?;
                value = Some(exec.command(dot, command, value.as_ref())?);
            }
            let value = value.unwrap_or(Value::Nothing);
            for name in &pipe.variables {
                if pipe.assigns {
                    exec.assign(name, value.clone())?;
                } else {
                    exec.variables.push((name, value.clone()));
                }
            }
            Ok(value)
        })
    }

    /// Sets the newest variable of a name.
    pub(super) fn assign(&mut self, name: &str, value: Value) -> Result<(), String> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => Err(format!("undefined variable: {name}")),
        }
    }

    fn variable(&self, name: &str) -> Result<Value, String> {
        let found = self.variables.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone()).ok_or_else(|| format!("undefined variable: {name}"))
    }

    fn command(&mut self, dot: &Value, command: &'t Command, last: Option<&Value>) -> Result<Value, String> {
        let Some((word, operands)) = command.operands.split_first() else { return Ok(Value::Nothing) };
        let arguments = Arguments { operands, last };
        match &word.term {
            Term::Field(_) | Term::Chain(..) | Term::Variable(_) => {
                return self.fields_of(dot, word, arguments);
            }
            Term::Function(index) => {
                self.at = Some(word);
                return self.call_function(dot, &FUNCTIONS[*index], command, arguments);
            }
            Term::Pipe(pipe) => {
                self.not_a_function(word, arguments)?;
                return self.pipe(dot, pipe);
            }
            _ => {}
        }
        self.at = Some(word);
        self.not_a_function(word, arguments)?;
        match &word.term {
            Term::Nil => Err("nil is not a command".to_owned()),
            _ => self.constant(dot, word),
        }
    }

    fn not_a_function(&self, word: &Operand, arguments: Arguments<'_, '_>) -> Result<(), String> {
        if arguments.count() > 0 {
            return Err(format!("can't give argument to non-function {word}"));
        }
        Ok(())
    }

    /// A constant or `.`, where any type will do.
    fn constant(&mut self, dot: &Value, operand: &'t Operand) -> Result<Value, String> {
        match &operand.term {
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::Dot => Ok(dot.clone()),
            Term::Number(number) => any_number(number),
            Term::Text(_, text) => Ok(Value::Text(text.clone())),
            _ => Err(format!("can't handle assignment of {operand} to empty interface argument")),
        }
    }

    /// A field, a variable with or without fields, or fields of something in parentheses.
    fn fields_of(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        arguments: Arguments<'t, '_>,
    ) -> Result<Value, String> {
        self.at = Some(operand);
        match &operand.term {
            Term::Field(names) => self.field_chain(dot, dot.clone(), names, arguments),
            Term::Variable(names) => {
                let value = self.variable(&names[0])?;
                if names.len() == 1 {
                    self.not_a_function(operand, arguments)?;
                    return Ok(value);
                }
                self.field_chain(dot, value, &names[1..], arguments)
            }
            Term::Chain(inner, names) => {
                if inner.term == Term::Nil {
                    return Err(format!("indirection through explicit nil in {operand}"));
                }
                let value = self.argument(dot, Param::Any, inner)?;
                self.field_chain(dot, value, names, arguments)
            }
            _ => self.constant(dot, operand),
        }
    }

    fn field_chain(
        &mut self,
        dot: &Value,
        receiver: Value,
        names: &'t [Box<str>],
        arguments: Arguments<'t, '_>,
    ) -> Result<Value, String> {
        let mut receiver = Receiver { value: receiver, is_interface: false };
        for (index, name) in names.iter().enumerate() {
            let arguments = if index + 1 == names.len() { arguments } else { Arguments::NONE };
            receiver = self.field(dot, receiver, name, arguments)?;
        }
        Ok(receiver.value)
    }

    fn field(
        &mut self,
        dot: &Value,
        receiver: Receiver,
        name: &'t str,
        arguments: Arguments<'t, '_>,
    ) -> Result<Receiver, String> {
        if receiver.value == Value::Nothing {
            if receiver.is_interface {
                return Err(format!("nil pointer evaluating interface {{}}.{name}"));
            }
            return Ok(Receiver { value: Value::Nothing, is_interface: false });
        }
        if let Some(method) = methods::find(&receiver.value, name) {
            let method = method.or_else(|message| {
                check_count(name, &[], false, arguments)?;
                Err(message)
            })?;
            let values = self.arguments(dot, name, method.params, false, arguments)?;
            let value = method.call(&receiver.value, &values);
            return Ok(Receiver { value, is_interface: false });
        }
        let has_arguments = arguments.count() > 0;
        if let Some(entry) = map_entry(&receiver.value, name) {
            self.context.budget.look_at(&entry.value)?;
            return if has_arguments {
                Err(format!("{name} is not a method but has arguments"))
            } else {
                Ok(entry)
            };
        }
        match receiver.value.field(name) {
            Some(_) if has_arguments => {
                Err(format!("{name} has arguments but cannot be invoked as function"))
            }
            Some(value) => {
                let is_interface =
                    name == "Value" && matches!(receiver.value, Value::Sample(_) | Value::Data(_));
                Ok(Receiver { value, is_interface })
            }
            None if methods::is_hidden_field(&receiver.value, name) => {
                let type_name = receiver.type_name();
                Err(format!("{name} is an unexported field of struct type {type_name}"))
            }
            None => Err(format!("can't evaluate field {name} in type {}", receiver.type_name())),
        }
    }

    fn call_function(
        &mut self,
        dot: &Value,
        function: &'static Function,
        place: &'t dyn Place,
        arguments: Arguments<'t, '_>,
    ) -> Result<Value, String> {
        if matches!(function.name, "and" | "or") {
            return self.and_or(dot, function, arguments);
        }
        let values = self.arguments(dot, function.name, function.params, function.variadic, arguments)?;
        if function.name == "call" {
            self.at = Some(place);
            return Err(format!("error calling call: {}", not_callable(&values, arguments)));
        }
        (function.body)(&mut self.context, &values).map_err(|error| {
            self.at = Some(place);
            format!("error calling {}: {error}", function.name)
        })
    }

    /// The first argument that decides, or the last; those behind it are not evaluated.
    fn and_or(
        &mut self,
        dot: &Value,
        function: &'static Function,
        arguments: Arguments<'t, '_>,
    ) -> Result<Value, String> {
        check_count(function.name, function.params, true, arguments)?;
        let mut value = Value::Nothing;
        for operand in arguments.operands {
            value = self.argument(dot, Param::Any, operand)?;
            if value.is_true() == (function.name == "or") {
                return Ok(value);
            }
        }
        Ok(arguments.last.cloned().unwrap_or(value))
    }

    fn arguments(
        &mut self,
        dot: &Value,
        name: &str,
        params: &'static [Param],
        variadic: bool,
        arguments: Arguments<'t, '_>,
    ) -> Result<Vec<Value>, String> {
        check_count(name, params, variadic, arguments)?;
        let param = |index: usize| params.get(index).copied().unwrap_or(Param::Any);
        let mut values = Vec::with_capacity(arguments.count());
        for (index, operand) in arguments.operands.iter().enumerate() {
            values.push(self.argument(dot, param(index), operand)?);
        }
        if let Some(last) = arguments.last {
            values.push(checked(last.clone(), param(values.len()))?);
        }
        values.iter().try_for_each(|value| self.context.budget.look_at(value))?;
        Ok(values)
    }

    fn argument(&mut self, dot: &Value, param: Param, operand: &'t Operand) -> Result<Value, String> {
        self.at = Some(operand);
        let value = match &operand.term {
            Term::Nil => return nil(param),
            Term::Field(_) | Term::Variable(_) | Term::Chain(..) => {
                self.fields_of(dot, operand, Arguments::NONE)?
            }
            Term::Pipe(pipe) => self.pipe(dot, pipe)?,
            Term::Function(index) => self.call_function(dot, &FUNCTIONS[*index], operand, Arguments::NONE)?,
            Term::Dot => dot.clone(),
            _ => return self.literal(dot, param, operand),
        };
        checked(value, param)
    }

    /// A constant where `param` is asked for.
    fn literal(&mut self, dot: &Value, param: Param, operand: &'t Operand) -> Result<Value, String> {
        match (param, &operand.term) {
            (Param::Any, _) => self.constant(dot, operand),
            (Param::Text, Term::Text(_, text)) => Ok(Value::Text(text.clone())),
            (Param::Text, _) => Err(format!("expected string; found {operand}")),
            (Param::Int, Term::Number(Number { int: Some(int), .. })) => Ok(Value::int(*int)),
            (Param::Duration, Term::Number(Number { int: Some(int), .. })) => {
                Ok(Value::Int(IntKind::Duration, *int))
            }
            (Param::Int | Param::Duration, _) => Err(format!("expected integer; found {operand}")),
            (Param::Time | Param::Sample | Param::Samples, _) => {
                Err(format!("can't handle {operand} for arg of type {}", param.type_name()))
            }
        }
    }
}

/// What a field is taken of. Of an interface messages name that type, not the one within.
struct Receiver {
    value: Value,
    is_interface: bool,
}

impl Receiver {
    fn type_name(&self) -> &'static str {
        if self.is_interface { Param::Any.type_name() } else { self.value.type_name() }
    }
}

/// What a map holds under a key; a key that it lacks stands for an empty value.
fn map_entry(value: &Value, name: &str) -> Option<Receiver> {
    match value {
        Value::Labels(labels) => {
            let value = Value::text(labels.get(name).unwrap_or_default());
            Some(Receiver { value, is_interface: false })
        }
        Value::Args(args) => {
            let value = args.entries.get(name).cloned().unwrap_or(Value::Nothing);
            Some(Receiver { value, is_interface: true })
        }
        _ => None,
    }
}

/// No value that a template meets is a function, so `call` has nothing to call.
fn not_callable(values: &[Value], arguments: Arguments<'_, '_>) -> String {
    let Some(callee) = values.first().filter(|value| **value != Value::Nothing) else {
        return "call of nil".to_owned();
    };
    let type_name = callee.type_name();
    let name = match (arguments.operands.first(), callee) {
        (Some(operand), _) => operand.to_string(),
        (None, Value::Text(text)) => String::from_utf8_lossy(text).into_owned(),
        (None, _) => format!("<{type_name} Value>"),
    };
    format!("non-function {name} of type {type_name}")
}

fn check_count(
    name: &str,
    params: &[Param],
    variadic: bool,
    arguments: Arguments<'_, '_>,
) -> Result<(), String> {
    let (have, want) = (arguments.count(), params.len());
    if variadic && have < want {
        let got = arguments.operands.len();
        return Err(format!("wrong number of args for {name}: want at least {want} got {got}"));
    }
    if !variadic && have != want {
        return Err(format!("wrong number of args for {name}: want {want} got {have}"));
    }
    Ok(())
}

fn nil(param: Param) -> Result<Value, String> {
    match param {
        Param::Any | Param::Sample => Ok(Value::Nothing),
        Param::Samples => Ok(Value::List(ListKind::Samples, Arc::from([]))),
        _ => Err(format!("cannot assign nil to {}", param.type_name())),
    }
}

/// `value` where `param` is asked for.
fn checked(value: Value, param: Param) -> Result<Value, String> {
    let fits = match (param, &value) {
        (Param::Any, _) => true,
        (Param::Sample, Value::Nothing) => true,
        (_, Value::Nothing) => return Err(format!("invalid value; expected {}", param.type_name())),
        (Param::Text, Value::Text(_))
        | (Param::Int, Value::Int(IntKind::Int, _))
        | (Param::Duration, Value::Int(IntKind::Duration, _) | Value::DurationPointer(_))
        | (Param::Time, Value::Time(_) | Value::TimePointer(_))
        | (Param::Sample, Value::Sample(_)) => true,
        (Param::Samples, Value::List(kind, _)) => *kind == ListKind::Samples,
        _ => false,
    };
    if fits {
        return Ok(value);
    }
    Err(format!("wrong type for value; expected {}; got {}", param.type_name(), value.type_name()))
}

/// A number where any type will do: how it is written decides.
fn any_number(number: &Number) -> Result<Value, String> {
    if let Some((real, imaginary)) = number.complex {
        return Ok(Value::Complex(real, imaginary));
    }
    match (number.float, number.int) {
        (Some(float), _) if number.reads_as_float() => Ok(Value::Float(float)),
        (_, Some(int)) => Ok(Value::int(int)),
        _ if number.is_unsigned => Err(format!("{} overflows int", number.text)),
        _ => Ok(Value::Nothing),
    }
}
