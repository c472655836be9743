#pragma once

/* How many grains a hive of so many cells holds. */
int pollen_count(int cells);
