#pragma once

/* How many milligrams of honey so many words are worth. Version 1 counted cells instead. */
long pollen_weigh(long words);
