//! What Diesel's derives would write if the types were Diesel's business: nouns never see this.

/// Makes a type usable in queries as SQL type `$sql`, once its `ToSql` and `FromSql` exist.
macro_rules! bind {
    ($ty:ty as $sql:ty $(, $param:ident)?) => {
        bind!(@expression [$($param)?] $ty, $ty, $sql);
        bind!(@expression ['a, $($param)?] $ty, &'a $ty, $sql);
        bind!(@expression ['a, 'b, $($param)?] $ty, &'b &'a $ty, $sql);

        impl<$($param,)? DB> ::diesel::serialize::ToSql<::diesel::sql_types::Nullable<$sql>, DB> for $ty
        where
            DB: ::diesel::backend::Backend,
            Self: ::diesel::serialize::ToSql<$sql, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut ::diesel::serialize::Output<'b, '_, DB>) -> ::diesel::serialize::Result {
                ::diesel::serialize::ToSql::<$sql, DB>::to_sql(self, out)
            }
        }
    };
    (@expression [$($generics:tt)*] $ty:ty, $this:ty, $sql:ty) => {
        impl<$($generics)*> ::diesel::expression::AsExpression<$sql> for $this {
            type Expression = ::diesel::internal::derives::as_expression::Bound<$sql, Self>;
            fn as_expression(self) -> Self::Expression {
                ::diesel::internal::derives::as_expression::Bound::new(self)
            }
        }

        impl<$($generics)*> ::diesel::expression::AsExpression<::diesel::sql_types::Nullable<$sql>> for $this {
            type Expression =
                ::diesel::internal::derives::as_expression::Bound<::diesel::sql_types::Nullable<$sql>, Self>;
            fn as_expression(self) -> Self::Expression {
                ::diesel::internal::derives::as_expression::Bound::new(self)
            }
        }
    };
}

/// Lets a type be read from a row by its `FromSql`.
macro_rules! read {
    ($ty:ty $(, $param:ident)?) => {
        impl<$($param,)? DB, ST> ::diesel::deserialize::Queryable<ST, DB> for $ty
        where
            DB: ::diesel::backend::Backend,
            ST: ::diesel::sql_types::SingleValue,
            Self: ::diesel::deserialize::FromSql<ST, DB>,
        {
            type Row = Self;
            fn build(row: Self) -> ::diesel::deserialize::Result<Self> {
                Ok(row)
            }
        }
    };
}

pub(super) use bind;
pub(super) use read;
