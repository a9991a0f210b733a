# SPDX-License-Identifier: GPL-2.0
# Seeded bugs, each of which the unit tests must catch.
mutants: unit
	tests/mutants/run

.PHONY: mutants
