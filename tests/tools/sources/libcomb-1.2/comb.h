#pragma once
#include <stdio.h>

/* Print one line of text in a honeycomb frame. */
void comb_frame(FILE *out, const char *text);
