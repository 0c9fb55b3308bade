"""The canonical tables: schemas, rules, types, and the frames that cross folders."""
