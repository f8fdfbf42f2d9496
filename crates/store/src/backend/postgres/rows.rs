//! Conversion of parameters and rows between diesel and tokio-postgres.
//!
//! Invariant: no parameter is ever displayed, not even for debugging.

use std::{error::Error, fmt, num::NonZeroU32, ops::Range, rc::Rc};

use diesel::{
    QueryResult,
    pg::{Pg, PgTypeMetadata, PgValue, TypeOidLookup},
    row::{Field, PartialRow, RowIndex, RowSealed},
};
use tokio_postgres::{
    Statement,
    types::{FromSql, IsNull, ToSql, Type, private::BytesMut},
};

type AnyError = Box<dyn Error + Send + Sync>;

/// A value in PostgreSQL's encoding, or null. Diesel has checked its type.
pub(crate) struct Parameter(pub(crate) Option<Vec<u8>>);

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _type: &Type, out: &mut BytesMut) -> Result<IsNull, AnyError> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_type: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, AnyError> {
        self.to_sql(of, out)
    }
}

/// Returns the type of a parameter, which is a built-in type of PostgreSQL.
pub(crate) fn parameter_type(metadata: &PgTypeMetadata) -> QueryResult<Type> {
    let oid =
        metadata.oid().map_err(|error| diesel::result::Error::SerializationError(error.into()))?;
    Ok(Type::from_oid(oid).unwrap_or(Type::UNKNOWN))
}

/// Returns the types of a statement's columns.
pub(crate) fn column_types(statement: &Statement) -> Rc<[ColumnType]> {
    statement.columns().iter().map(|column| ColumnType(column.type_().oid())).collect()
}

/// The OID of a type.
pub(crate) struct ColumnType(u32);

impl TypeOidLookup for ColumnType {
    fn lookup(&self) -> NonZeroU32 {
        NonZeroU32::new(self.0).expect("PostgreSQL gives no type the number 0")
    }
}

/// A row.
pub(crate) struct Row {
    row: tokio_postgres::Row,
    types: Rc<[ColumnType]>,
}

impl Row {
    pub(crate) fn new(row: tokio_postgres::Row, types: Rc<[ColumnType]>) -> Self {
        Self { row, types }
    }
}

impl RowSealed for Row {}

impl RowIndex<usize> for Row {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.row.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for Row {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.row.columns().iter().position(|column| column.name() == name)
    }
}

impl<'a> diesel::row::Row<'a, Pg> for Row {
    type Field<'f>
        = Value<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.row.len()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<Self::Field<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        Some(Value { row: self, index: self.idx(index)? })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

/// A value of a row.
pub(crate) struct Value<'f> {
    row: &'f Row,
    index: usize,
}

impl<'f> Field<'f, Pg> for Value<'f> {
    fn field_name(&self) -> Option<&str> {
        Some(self.row.row.columns()[self.index].name())
    }

    fn value(&self) -> Option<PgValue<'_>> {
        let bytes: Option<Bytes<'_>> = self.row.row.get(self.index);
        bytes.map(|Bytes(bytes)| PgValue::new(bytes, &self.row.types[self.index]))
    }
}

/// Raw bytes from PostgreSQL, which diesel decodes.
struct Bytes<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_type: &Type, raw: &'a [u8]) -> Result<Self, AnyError> {
        Ok(Self(raw))
    }

    fn accepts(_type: &Type) -> bool {
        true
    }
}
