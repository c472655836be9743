/* Deliberately broken: nobody ever declared the sting. */
int main(void)
{
	return sting();
}
