"""fits_schema.py SCHEMA FILE...: what a validator of JSON Schema has against TOML files, a line each; nothing when they fit."""

import json
import pathlib
import sys
import tomllib

import jsonschema_rs

validator = jsonschema_rs.validator_for(json.loads(pathlib.Path(sys.argv[1]).read_text()))
for file in sys.argv[2:]:
    for error in validator.iter_errors(tomllib.loads(pathlib.Path(file).read_text())):
        print(f"{file}: {'.'.join(map(str, error.instance_path))}: {error.message}")
