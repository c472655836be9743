/* Counts the words of standard input; the sweet variant also weighs them. */
#include <comb.h>
#include <ctype.h>
#include <stdio.h>
#ifdef SWEET
#include <pollen-2/pollen.h>
#endif

int main(void)
{
	char line[200];
	int c, inside = 0;
	long words = 0;

	while ((c = getchar()) != EOF) {
		if (!isspace(c) && !inside)
			words++;
		inside = !isspace(c);
	}
#ifdef SWEET
	snprintf(line, sizeof line, "%ld words, %ld mg of honey", words, pollen_weigh(words));
#else
	snprintf(line, sizeof line, "%ld words", words);
#endif
	comb_frame(stdout, line);
	return 0;
}
