//! Objects of the program's own types and of the standard library.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::kind::{self, Kind};
use super::{Encoder, MAX_DEPTH, Written, text};

impl<'py> Encoder<'py> {
    /// Writes an object that is of none of the plain types. Runs code of the program, and catches what it raises.
    pub(super) fn write_other(&mut self, object: *mut ffi::PyObject) -> Written {
        // SAFETY: the object is live; it is held from here on.
        let held: Bound<'py, PyAny> = unsafe { Bound::from_borrowed_ptr(self.py, object) };
        let begin = self.out.len();
        let depth = self.path.len();
        let written = self.write_kind(&held);
        self.foreign = self.foreign.wrapping_add(1);
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                self.out.truncate(begin);
                self.failed(object, Some(error));
                Ok(())
            }
        };
        if written.is_ok() {
            self.path.truncate(depth);
        }
        written
    }

    fn write_kind(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Written> {
        let py = self.py;
        let pointer = object.as_ptr();
        // SAFETY: each kind was told from the flags of the object's type, which say what it is a subclass of.
        unsafe {
            match kind::of(py, object) {
                Kind::Str => return Ok(self.write_str(pointer)),
                Kind::Int => return Ok(self.write_int(pointer)),
                Kind::Dict => return Ok(self.write_dict(pointer)),
                Kind::List => return Ok(self.write_list(pointer)),
                Kind::Tuple => return Ok(self.write_tuple(pointer)),
                _ => {}
            }
        }
        match kind::of(py, object) {
            Kind::Float => self.push_float(object.extract()?),
            Kind::Enum => {
                let value = object.getattr(intern!(py, "value"))?;
                return Ok(self.write_inside(object, &value));
            }
            Kind::Pydantic => return self.write_model(object),
            Kind::PydanticOverridden => {
                let keywords = PyDict::new(py);
                keywords.set_item("mode", "json")?;
                return match object.call_method(intern!(py, "model_dump"), (), Some(&keywords)) {
                    Ok(dumped) => Ok(self.write_inside(object, &dumped)),
                    Err(error) => self.write_fields_of(object, error),
                };
            }
            Kind::IsoFormat => {
                let text = object.call_method0(intern!(py, "isoformat"))?;
                return self.write_text(&text);
            }
            Kind::Text => {
                let text = object.str()?;
                return self.write_text(text.as_any());
            }
            Kind::Bytes => {
                let bytes = match object.cast::<PyBytes>() {
                    Ok(bytes) => bytes.clone(),
                    Err(_) => {
                        py.import("builtins")?.getattr("bytes")?.call1((object,))?.cast_into::<PyBytes>()?
                    }
                };
                text::push_bytes(&mut self.out, bytes.as_bytes());
            }
            Kind::Scalar => {
                let item = object.call_method0(intern!(py, "item"))?;
                return Ok(self.write_inside(object, &item));
            }
            Kind::Array => {
                let list = object.call_method0(intern!(py, "tolist"))?;
                return Ok(self.write_inside(object, &list));
            }
            Kind::Dataclass => {
                let names = object.getattr(intern!(py, "__dataclass_fields__"))?;
                return self.write_fields(object, &names);
            }
            Kind::Struct => {
                let names = object.getattr(intern!(py, "__struct_fields__"))?;
                return self.write_fields(object, &names);
            }
            Kind::Attrs => {
                let names: Vec<Bound<'py, PyAny>> = object
                    .getattr(intern!(py, "__attrs_attrs__"))?
                    .try_iter()?
                    .map(|attribute| attribute?.getattr(intern!(py, "name")))
                    .collect::<PyResult<_>>()?;
                return self.write_fields(object, pyo3::types::PyList::new(py, names)?.as_any());
            }
            Kind::OldModel => {
                let fields = object.call_method0(intern!(py, "dict"))?;
                return Ok(self.write_inside(object, &fields));
            }
            Kind::Exception => {
                let name = object.get_type().name()?;
                let message = object.str()?;
                let whole = PyString::new(py, &format!("{}: {}", name, message.to_string_lossy()));
                return self.write_text(whole.as_any());
            }
            Kind::Callable => return self.write_name("function", object),
            Kind::Iterator => return self.write_name("iterator", &object.get_type()),
            Kind::Mapping => return self.write_mapping(object),
            Kind::Iterable => return self.write_iterable(object),
            _ => self.failed(object.as_ptr(), None),
        }
        Ok(Ok(()))
    }

    /// Writes what stands for an object, so that an object that stands for itself is found to be a cycle.
    fn write_inside(&mut self, object: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> Written {
        if !self.enter(object.as_ptr()) {
            return Ok(());
        }
        self.write(value.as_ptr())?;
        self.path.pop();
        Ok(())
    }

    fn write_text(&mut self, text: &Bound<'py, PyAny>) -> PyResult<Written> {
        let text = text.cast::<PyString>()?;
        // SAFETY: it was just found to be a `str`.
        Ok(unsafe { self.write_str(text.as_ptr()) })
    }

    fn write_name(&mut self, what: &str, object: &Bound<'py, PyAny>) -> PyResult<Written> {
        let name = match object.getattr(intern!(self.py, "__name__")) {
            Ok(name) => name.str()?,
            Err(_) => object.str()?,
        };
        let module = object.getattr(intern!(self.py, "__module__")).ok().filter(|module| !module.is_none());
        let text = match module {
            Some(module) => {
                format!("<{what} {}.{}>", module.str()?.to_string_lossy(), name.to_string_lossy())
            }
            None => format!("<{what} {}>", name.to_string_lossy()),
        };
        text::push_string(&mut self.out, text.as_bytes());
        Ok(Ok(()))
    }

    /// Writes a pydantic model by its own serializer, whose text is taken as it is.
    fn write_model(&mut self, model: &Bound<'py, PyAny>) -> PyResult<Written> {
        let py = self.py;
        let serializer = model.get_type().getattr(intern!(py, "__pydantic_serializer__"))?;
        let text = match serializer.call_method1(intern!(py, "to_json"), (model,)) {
            Ok(text) => text,
            Err(error) => return self.write_fields_of(model, error),
        };
        let text = text.cast_into::<PyBytes>()?;
        let text = text.as_bytes();
        let left = MAX_DEPTH - self.path.len().min(MAX_DEPTH);
        if text::nesting_beyond(text, left) > left {
            self.placeholder(&format!("nested deeper than {MAX_DEPTH}"));
        } else if self.out.len() + text.len() > self.max_bytes {
            return Ok(Err(super::Stop::TooLarge));
        } else {
            self.out.extend_from_slice(text);
        }
        Ok(Ok(()))
    }

    /// Writes a model that pydantic cannot serialize field by field.
    #[cold]
    fn write_fields_of(&mut self, model: &Bound<'py, PyAny>, error: PyErr) -> PyResult<Written> {
        let py = self.py;
        if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
            return Err(error);
        }
        match model.get_type().getattr(intern!(py, "model_fields")) {
            Ok(names) => self.write_fields(model, &names),
            Err(_) => match model.getattr(intern!(py, "__dataclass_fields__")) {
                Ok(names) => self.write_fields(model, &names),
                Err(_) => Err(error),
            },
        }
    }

    /// Writes an object of named attributes. An attribute that is not set is left out.
    fn write_fields(&mut self, object: &Bound<'py, PyAny>, names: &Bound<'py, PyAny>) -> PyResult<Written> {
        if !self.enter(object.as_ptr()) {
            return Ok(Ok(()));
        }
        self.out.push(b'{');
        let mut first = true;
        for name in names.try_iter()? {
            let name = name?.cast_into::<PyString>()?;
            let Ok(value) = object.getattr(&name) else { continue };
            if let Err(stop) = self.write_member(&mut first, name.as_any(), &value) {
                return Ok(Err(stop));
            }
        }
        self.out.push(b'}');
        self.path.pop();
        Ok(Ok(()))
    }

    fn write_member(
        &mut self,
        first: &mut bool,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> Written {
        if !std::mem::take(first) {
            self.out.push(b',');
        }
        self.write_key(key.as_ptr())?;
        self.out.push(b':');
        self.write(value.as_ptr())
    }

    fn write_mapping(&mut self, mapping: &Bound<'py, PyAny>) -> PyResult<Written> {
        if !self.enter(mapping.as_ptr()) {
            return Ok(Ok(()));
        }
        self.out.push(b'{');
        let mut first = true;
        for member in mapping.call_method0(intern!(self.py, "items"))?.try_iter()? {
            let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = member?.extract()?;
            if let Err(stop) = self.write_member(&mut first, &key, &value) {
                return Ok(Err(stop));
            }
        }
        self.out.push(b'}');
        self.path.pop();
        Ok(Ok(()))
    }

    fn write_iterable(&mut self, iterable: &Bound<'py, PyAny>) -> PyResult<Written> {
        if !self.enter(iterable.as_ptr()) {
            return Ok(Ok(()));
        }
        self.out.push(b'[');
        let mut first = true;
        for item in iterable.try_iter()? {
            let item = item?;
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            if let Err(stop) = self.write(item.as_ptr()).and_then(|()| self.bounded()) {
                return Ok(Err(stop));
            }
        }
        self.out.push(b']');
        self.path.pop();
        Ok(Ok(()))
    }

    /// Writes a key of an object that is no plain `str`: what JSON writes of it, as a text.
    pub(super) fn write_key(&mut self, key: *mut ffi::PyObject) -> Written {
        // SAFETY: the key is live and held by the caller.
        let key: Bound<'py, PyAny> = unsafe { Bound::from_borrowed_ptr(self.py, key) };
        if let Ok(text) = key.cast::<PyString>() {
            // SAFETY: it is a `str`.
            return unsafe { self.write_str(text.as_ptr()) };
        }
        if self.plain_only {
            return Err(super::Stop::NotPlain);
        }
        self.foreign = self.foreign.wrapping_add(1);
        let begin = self.out.len();
        let placeholders = self.placeholders;
        let path = std::mem::take(&mut self.path);
        let written = self.write(key.as_ptr());
        self.path = path;
        written?;
        let text = self.out.split_off(begin);
        match text.first() {
            Some(b'"') => self.out.extend_from_slice(&text),
            Some(b'{' | b'[') | None => {
                self.placeholders = placeholders;
                let text = match key.str() {
                    Ok(text) => text.to_string_lossy().into_owned(),
                    Err(error) => {
                        if !error.is_instance_of::<pyo3::exceptions::PyException>(self.py) {
                            self.interrupt = Some(error);
                        }
                        self.placeholders += 1;
                        format!("<{}>", kind::type_name(self.py, key.as_ptr()))
                    }
                };
                text::push_string(&mut self.out, text.as_bytes());
            }
            Some(_) => text::push_string(&mut self.out, &text),
        }
        Ok(())
    }
}
