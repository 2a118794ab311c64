// Sorting and filtering of tables, and the search: filled in by the features that need it.
"use strict";
