#!/bin/sh
# Makes the two roles and the database, when PostgreSQL's folder is made: one that owns the tables, one that serves.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres <<SQL
CREATE ROLE cwz_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '$OWNER_PASSWORD';
CREATE ROLE cwz_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD '$APP_PASSWORD';
CREATE DATABASE cwz OWNER cwz_owner;
SQL
