# SPDX-License-Identifier: GPL-2.0
# Seeded bugs, each of which the unit tests or the simulator must catch.
mutants: unit $(BUILD)/tests/sim/sim
	tests/mutants/run

.PHONY: mutants
